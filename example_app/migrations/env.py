"""Run the shop's migrations on the database of the Flask app (`flask db ...`)."""

from alembic import context
from flask import current_app

migrate = current_app.extensions["migrate"]
db = migrate.db


def migrate_offline():
    """Print the SQL instead of executing it (`flask db upgrade --sql`)."""
    url = db.engine.url.render_as_string(hide_password=False)
    context.configure(url=url, target_metadata=db.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


def migrate_online():
    """Execute the migrations."""
    with db.engine.connect() as connection:
        context.configure(
            connection=connection, target_metadata=db.metadata, **migrate.configure_args
        )
        with context.begin_transaction():
            context.run_migrations()


if context.is_offline_mode():
    migrate_offline()
else:
    migrate_online()
