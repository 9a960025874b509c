// @ts-check
// What keys do, marks of many rows at once, and the list that a job was opened from. The list of keys is src/dashboard/keys.rs.

const OFF = 'rc.keys';
const LIST = 'rc.list';

/** How long after `g` its second key is waited for, in ms. */
const PATIENCE = 2000;

/** Rows of lists: what `j` and `k` go through. */
const ROWS = 'main tbody tr, main .sheet > li';

const dialog = /** @type {HTMLDialogElement | null} */ (document.getElementById('keys'));

/**
 * What is kept may be refused, or not there.
 * @template T
 * @param {() => T} act
 * @returns {T | null}
 */
const attempt = (act) => {
  try {
    return act();
  } catch {
    return null;
  }
};

const isOff = () => attempt(() => localStorage.getItem(OFF)) === 'off';

/**
 * Whether what is typed there is text, or chooses something.
 * @param {EventTarget | null} target
 */
const isField = (target) => {
  if (target instanceof HTMLInputElement) return !['checkbox', 'radio', 'button', 'submit', 'range'].includes(target.type);
  return target instanceof HTMLElement && (target.isContentEditable || target.matches('textarea, select'));
};

/**
 * Clicks on what the page has for a key.
 * @param {string} key
 */
const press = (key) => {
  const found = [.../** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('[data-key]'))];
  found.find((it) => it.dataset.key === key)?.click();
};

// Rows. The one whose link or box has the focus is the one that keys are about.

/** @param {Element} row */
const linkOf = (row) => /** @type {HTMLElement | null} */ (row.querySelector('a[href]'));

/** @param {Element | null} row */
const boxOf = (row) => /** @type {HTMLInputElement | null} */ (row?.querySelector('input[type=checkbox]') ?? null);

const here = () => document.activeElement?.closest(ROWS) ?? null;

/** @param {number} step */
const go = (step) => {
  const rows = [...document.querySelectorAll(ROWS)].filter(linkOf);
  const row = here();
  const at = row ? rows.indexOf(row) + step : 0;
  const next = rows[Math.min(Math.max(at, 0), rows.length - 1)];
  if (next) linkOf(next)?.focus();
};

/** What is marked; if nothing is, the row with the focus. */
const markOne = () => {
  const box = boxOf(here());
  if (box?.form && !box.form.querySelector('td input[type=checkbox]:checked')) box.click();
};

/** @type {Record<string, () => void>} */
const ACTIONS = {
  '?': () => dialog?.showModal(),
  '/': () => document.getElementById('q')?.focus(),
  j: () => go(1),
  k: () => go(-1),
  x: () => boxOf(here())?.click(),
  r: () => {
    markOne();
    press('r');
  },
  c: () => press('c'),
  '[': () => press('['),
  ']': () => press(']'),
};

/** When `g` was pressed. */
let since = -Infinity;

addEventListener('keydown', (event) => {
  if (event.defaultPrevented || event.isComposing || event.repeat && event.key !== 'j' && event.key !== 'k') return;
  if (event.ctrlKey || event.altKey || event.metaKey || isOff() || isField(event.target) || document.querySelector('dialog[open]')) return;
  const isSecond = event.timeStamp - since < PATIENCE;
  since = !isSecond && event.key === 'g' ? event.timeStamp : -Infinity;
  if (isSecond) {
    press(`g ${event.key}`);
  } else if (event.key === 'Enter' && event.target instanceof HTMLInputElement) {
    // In a form, the browser would send it.
    const row = here();
    if (!row) return;
    linkOf(row)?.click();
  } else if (Object.hasOwn(ACTIONS, event.key)) {
    ACTIONS[event.key]();
  } else {
    return;
  }
  event.preventDefault();
});

// The list of keys, and whether they are on.

document.getElementById('show-keys')?.addEventListener('click', () => dialog?.showModal());
const isOn = /** @type {HTMLInputElement | null} */ (document.getElementById('keys-on'));
if (isOn) {
  isOn.checked = !isOff();
  isOn.addEventListener('change', () => {
    attempt(() => (isOn.checked ? localStorage.removeItem(OFF) : localStorage.setItem(OFF, 'off')));
  });
}

// Marks of all rows of a form at once.

for (const label of document.querySelectorAll('label.all')) {
  const all = /** @type {HTMLInputElement} */ (label.querySelector('input'));
  const form = all.form;
  /** @returns {HTMLInputElement[]} */
  const boxes = () => [.../** @type {NodeListOf<HTMLInputElement>} */ (form?.querySelectorAll('td input[type=checkbox]') ?? [])];
  const count = () => {
    const marked = boxes().filter((box) => box.checked).length;
    all.checked = marked > 0 && marked === boxes().length;
    all.indeterminate = marked > 0 && !all.checked;
  };
  form?.addEventListener('change', (event) => {
    if (event.target === all) boxes().forEach((box) => (box.checked = all.checked));
    count();
  });
  label.removeAttribute('hidden');
  // Browsers bring marks back when somebody comes back.
  addEventListener('pageshow', count);
}

// The list that a job was opened from, for this tab.

/** @typedef {{ name: string, jobs: string[] }} List */

/** @param {Element} link */
const isJob = (link) => link instanceof HTMLAnchorElement && /\/jobs\/[^/]+$/.test(link.pathname);

document.querySelector('main')?.addEventListener('click', (event) => {
  const link = event.target instanceof Element ? event.target.closest('a') : null;
  const list = link?.closest('tbody, .sheet');
  if (!link || !list || !isJob(link)) return;
  const links = [...list.querySelectorAll('a')].filter(isJob);
  const jobs = [...new Set(links.map((it) => it.pathname))];
  const name = document.querySelector('h1')?.textContent?.trim() ?? '';
  attempt(() => sessionStorage.setItem(LIST, JSON.stringify({ name, jobs })));
});

const neighbors = document.querySelector('.neighbors');
/** @type {List | null} */
const list = attempt(() => JSON.parse(sessionStorage.getItem(LIST) ?? 'null'));
const place = list?.jobs.indexOf(location.pathname) ?? -1;
if (neighbors && list && place >= 0 && list.jobs.length > 1) {
  for (const [key, to] of [['[', list.jobs[place - 1]], [']', list.jobs[place + 1]]]) {
    const link = /** @type {HTMLAnchorElement} */ ([...neighbors.querySelectorAll('a')].find((it) => it.dataset.key === key));
    if (to) link.href = to;
    else link.removeAttribute('data-key');
  }
  const words = neighbors.querySelector('span');
  if (words) words.textContent = `${place + 1} of ${list.jobs.length} from ${list.name}`;
  neighbors.removeAttribute('hidden');
}
