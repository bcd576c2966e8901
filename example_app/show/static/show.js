// Arms a trick without leaving the page, so that a filled form stays filled, and reads the drawer
// again when the page has sent a request by itself.
async function readDrawer() {
  const response = await fetch("/show/drawer/");
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  document.querySelector(".drawer").replaceWith(page.querySelector(".drawer"));
}

document.addEventListener("refused", readDrawer);

document.addEventListener("submit", async (event) => {
  if (!event.target.closest(".drawer")) return;
  event.preventDefault();
  const body = new FormData(event.target, event.submitter);
  const response = await fetch(event.target.action, { method: "POST", body, redirect: "manual" });
  if (event.submitter.value === "voucher") location.reload();
  else await readDrawer();
});
