// @ts-check
// What was submitted from this browser: the page of what was submitted has it kept, and the Overview shows it.

const KEPT = "rc-mine", MOST_KEPT = 25;

/**
 * @typedef {{kind: string, key: string}} Mine
 */

/** @returns {Mine[]} */
function kept() {
  try {
    const all = JSON.parse(localStorage.getItem(KEPT) ?? "[]");
    return Array.isArray(all) ? all.filter((it) => typeof it?.key === "string" && typeof it?.kind === "string") : [];
  } catch {
    return [];
  }
}

/** @param {Mine[]} all */
function keep(all) {
  try {
    localStorage.setItem(KEPT, JSON.stringify(all.slice(0, MOST_KEPT)));
  } catch { /* Browsers may keep nothing. */ }
}

function remember() {
  const link = document.getElementById("submitted");
  if (!link) return;
  const { kind = "", name: key = "" } = link.dataset;
  keep([{ kind, key }, ...kept().filter((it) => it.key !== key)]);
}

async function showMine() {
  const section = document.getElementById("mine"), list = document.getElementById("mine-list");
  const all = kept();
  if (!section || !list || all.length === 0) return;
  const query = new URLSearchParams(all.map((it) => [it.kind === "batch" ? "batch" : "job", it.key]));
  const answer = await fetch(`${section.dataset.base}/mine?${query}`).catch(() => null);
  if (!answer?.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  list.replaceChildren(...page.body.children);
  section.hidden = false;
  document.getElementById("mine-forget")?.addEventListener("click", () => { keep([]); section.hidden = true; });
}

remember();
showMine();
