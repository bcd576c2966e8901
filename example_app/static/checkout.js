// Orders by the API, so that a refusal does not reload the page; without it, the form is sent.
const form = document.querySelector("form.checkout");
const refusals = JSON.parse(form?.dataset.refusals ?? "{}");
const fields = ["street_address", "postal_code", "city", "state", "country"];

function billingAddress() {
  const saved = form.querySelector("[name=use]:checked");
  if (saved && saved.value !== "new") return JSON.parse(saved.dataset.address);
  return Object.fromEntries(fields.map((name) => [name, form.elements[name].value]));
}

function say(text) {
  form.querySelectorAll("p.notice").forEach((old) => old.remove());
  const notice = Object.assign(document.createElement("p"), { className: "notice", textContent: text });
  notice.setAttribute("role", "alert");
  form.prepend(notice);
  notice.scrollIntoView({ block: "nearest" });
}

function mark(errors) {
  form.querySelectorAll("p.error").forEach((old) => old.remove());
  form.querySelectorAll("[aria-invalid]").forEach((field) => field.removeAttribute("aria-invalid"));
  for (const name of fields.filter((name) => `billing_address.${name}` in errors)) {
    const field = form.elements[name];
    const text = errors[`billing_address.${name}`].join(" ");
    const message = Object.assign(document.createElement("p"), { className: "error", id: `${name}-error`, textContent: text });
    field.setAttribute("aria-invalid", "true");
    field.setAttribute("aria-describedby", message.id);
    field.after(message);
  }
  form.querySelector("[aria-invalid]")?.focus();
}

// The page again, with today's total and the button that agrees to it; what was entered stays.
async function showNewTotal() {
  const response = await fetch(location.href);
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  for (const part of [".totals", ".buttons.end", "[name=expected_total]"])
    form.querySelector(part).replaceWith(page.querySelector(`form.checkout ${part}`));
}

async function refuse(problem) {
  mark(problem.errors ?? {});
  if (problem.code === "price_changed") {
    await showNewTotal();
    say(refusals.price_changed.replace("{actual}", problem.actual).replace("{expected}", problem.expected));
  } else if (problem.code === "item_unavailable") {
    // The cart's page says which item, and has the buttons to change or remove it.
    location.assign(form.dataset.cart);
  } else if (problem.errors) {
    say(refusals.errors);
  } else {
    say(problem.detail);
  }
  document.dispatchEvent(new Event("refused"));
}

async function order(action) {
  const response = await fetch(form.dataset.api, {
    method: "POST",
    headers: {
      "Accept": "application/json",
      "Content-Type": "application/json",
      "Idempotency-Key": form.elements.key.value,
      "X-CSRF-TOKEN": form.elements.csrf_token.value,
    },
    body: JSON.stringify({ action, expected_total: form.elements.expected_total.value, billing_address: billingAddress() }),
  });
  // A checkout is redirected to its payment page, which has been read by now.
  if (response.redirected) location.assign(response.url);
  else if (response.ok) location.assign(response.headers.get("Location").replace(form.dataset.api, form.dataset.orders));
  else if (response.status === 401) location.reload();
  else await refuse(await response.json());
}

let isOrdering = false;
form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (isOrdering) return;
  isOrdering = true;
  try {
    await order(event.submitter.value);
  } catch {
    say("The shop did not respond. Order again: it is the same order.");
  } finally {
    isOrdering = false;
  }
});
