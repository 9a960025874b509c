// @ts-check
// Keeps what changes on a page up to date. The page says in `data-events` of `main` where changes are told; they come as pieces
// of HTML, each with the `id` of what it replaces. A piece with `data-shape` says whether the page has other rows, sections or
// buttons by now: then the page is fetched anew, as it is for whoever looks. What has `data-keep` is left to other scripts.

const HIDDEN_MS = 30_000;
const SLOW_MS = 30_000;
const FETCH_MS = 5_000;
const SAY_MS = 5_000;
/** A stream that is cut is back after 3 s, mostly. */
const CUT_MS = 5_000;
/** So long a change waits that would move what somebody points at. */
const POLITE_MS = 10_000;

const main = /** @type {HTMLElement} */ (document.getElementById("main"));

// What the server has said of each element. Attributes and elements that scripts have added are not touched.

/** @type {WeakMap<Element, Map<string, string>>} */
const served = new WeakMap();

/** @param {Element} element */
function attributesOf(element) {
  return new Map([...element.attributes].map((it) => [it.name, it.value]));
}

/** @param {Element} root */
function note(root) {
  for (const element of [root, ...root.querySelectorAll("*")]) {
    served.set(element, attributesOf(element));
  }
}

/** @param {string} text */
const words = (text) => text.split(/\s+/).filter(Boolean);

/** @param {Element} old @param {Element} fresh */
function syncAttributes(old, fresh) {
  const before = served.get(old) ?? new Map();
  const now = attributesOf(fresh);
  for (const name of new Set([...before.keys(), ...now.keys()])) {
    const [was, is] = [before.get(name), now.get(name)];
    if (was === is) continue;
    if (name === "class") {
      old.classList.remove(...words(was ?? ""));
      old.classList.add(...words(is ?? ""));
    } else if (is === undefined) {
      old.removeAttribute(name);
    } else {
      old.setAttribute(name, is);
    }
  }
  served.set(old, now);
}

/** By what an element is told from its like: sections by their headings, what is kept by its version. @param {Node} node */
function keyOf(node) {
  if (!(node instanceof Element)) return "";
  return node.id || node.getAttribute("aria-labelledby") || node.getAttribute("data-keep") || "";
}

/** @param {Node} old @param {Node} fresh */
function isSame(old, fresh) {
  return old.nodeName === fresh.nodeName && keyOf(old) === keyOf(fresh);
}

/** @param {Node} old @param {Node} fresh */
function sync(old, fresh) {
  if (old instanceof Element && fresh instanceof Element) {
    if (old.hasAttribute("data-keep")) return;
    syncAttributes(old, fresh);
    syncChildren(old, fresh);
  } else if (old.nodeValue !== fresh.nodeValue) {
    old.nodeValue = fresh.nodeValue;
  }
}

/** @param {Element} old @param {Element} fresh */
function syncChildren(old, fresh) {
  const ours = [...old.childNodes].filter((it) => !(it instanceof Element) || served.has(it));
  const wanted = [...fresh.childNodes];
  const ids = new Set(wanted.map(keyOf));
  for (const next of wanted) {
    const known = ours.findIndex((it) => isSame(it, next));
    if (known === 0 || (known > 0 && keyOf(next))) {
      ours.splice(0, known).forEach((it) => /** @type {ChildNode} */ (it).remove());
      sync(/** @type {Node} */ (ours.shift()), next);
      continue;
    }
    const node = document.importNode(next, true);
    if (node instanceof Element) note(node);
    const here = ours[0] ?? null;
    old.insertBefore(node, here);
    // What is to come later stays; anything else gives way.
    if (here && !(keyOf(here) && ids.has(keyOf(here)))) {
      here.remove();
      ours.shift();
    }
  }
  ours.forEach((it) => it.remove());
}

// Pieces, and the whole page.

/** @param {string} html Gives whether the page has another shape by now. */
function apply(html) {
  const box = document.createElement("template");
  box.innerHTML = html;
  let isOther = false;
  for (const fresh of box.content.querySelectorAll("[id]")) {
    if (fresh.parentElement?.closest("[id]")) continue;
    const old = document.getElementById(fresh.id);
    if (!old || !main.contains(old)) continue;
    const shape = fresh.getAttribute("data-shape");
    if (shape === null) sync(old, fresh);
    else isOther ||= old.getAttribute("data-shape") !== shape;
  }
  return isOther;
}

/** Whether a change of rows and sections would move what somebody points at, marks or writes. */
function isBusy() {
  const marked = getSelection();
  if (marked && !marked.isCollapsed && main.contains(marked.anchorNode)) return true;
  if (main.querySelector("a:hover, button:hover, input:hover, summary:hover")) return true;
  const active = document.activeElement;
  return main.contains(active) && Boolean(active?.matches("input:not([type=checkbox]), select, textarea"));
}

let fetchedAt = 0;
let isFetching = false;
/** When it was first seen that the page has another shape. */
let otherSince = 0;

async function fetchPage() {
  isFetching = true;
  fetchedAt = Date.now();
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("main");
    // Redis may be away: what is there stays.
    if (!fresh || answer.status >= 500) return;
    if (fresh.querySelector("form.login")) return leave();
    otherSince = 0;
    const focused = document.activeElement;
    const address = main.dataset.events;
    sync(main, fresh);
    if (focused && focused !== document.activeElement) refocus(focused);
    if (main.dataset.events !== address) reconnect();
    document.dispatchEvent(new CustomEvent("live:page"));
  } catch {
    // It is asked for again.
  } finally {
    isFetching = false;
  }
}

/** @param {Element} element What had the focus, and may be gone. */
function refocus(element) {
  if (!element.isConnected) main.tabIndex = -1;
  const target = element.isConnected ? element : main;
  if (target instanceof HTMLElement) target.focus({ preventScroll: true });
}

function fetchIfOther() {
  if (!otherSince || isFetching || Date.now() - fetchedAt < FETCH_MS) return;
  if (isBusy() && Date.now() - otherSince < POLITE_MS) return;
  void fetchPage();
}

// What is said to those who do not see.

const said = document.createElement("p");
said.className = "unseen";
said.setAttribute("role", "status");
let saidAt = 0;

function counts() {
  const all = [...main.querySelectorAll("[data-say]")];
  return all.map((it) => it.getAttribute("data-say")).join("; ");
}

let saidLast = counts();

function say() {
  const text = counts();
  if (text === saidLast || Date.now() - saidAt < SAY_MS) return;
  [said.textContent, saidLast, saidAt] = [text, text, Date.now()];
}

// What is wrong, and how old the numbers are.

const banner = document.createElement("div");
banner.className = "live-banner";
banner.hidden = true;
const why = document.createElement("span");
why.setAttribute("role", "status");
// Told once, not every second.
const age = document.createElement("span");
age.setAttribute("aria-hidden", "true");
banner.append(why, " ", age);

/** Since when the numbers are old: Redis is away, or the stream is cut. */
let awaySince = 0;
let awayText = "";
let cutSince = 0;
let isSlow = false;
let isOut = false;

/** @param {number} since */
function ageText(since) {
  const seconds = Math.max(0, Math.round((Date.now() - since) / 1000));
  return `Numbers are ${seconds < 120 ? `${seconds} s` : `${Math.floor(seconds / 60)} min`} old.`;
}

function show() {
  const isCut = cutSince > 0 && Date.now() - cutSince > CUT_MS;
  const since = awaySince || (isCut ? cutSince : 0);
  let text = "";
  if (isOut) text = "You are logged out: load the page again.";
  else if (awaySince) text = awayText;
  else if (isCut) text = "The connection to the dashboard is cut.";
  else if (isSlow) text = "Many pages are open: this one is brought up to date every 30 s.";
  banner.hidden = text === "";
  if (why.textContent !== text) why.textContent = text;
  age.textContent = since && !isOut ? ageText(since) : "";
  main.classList.toggle("stale", since > 0 || isOut);
}

// The stream.

/** @type {EventSource | undefined} */
let source;
let hiddenTimer = 0;
let slowTimer = 0;

function connect() {
  if (source || isOut || !main.dataset.events) return;
  source = new EventSource(main.dataset.events);
  source.onopen = () => {
    cutSince = 0;
    show();
  };
  source.onmessage = (event) => {
    awaySince = 0;
    isSlow = false;
    const others = /** @type {string[]} */ (JSON.parse(event.data)).map(apply);
    if (others.includes(true)) otherSince ||= Date.now();
    tick();
  };
  source.onerror = () => {
    cutSince ||= Date.now();
    // It connects again by itself, unless it was refused.
    if (source?.readyState !== EventSource.CLOSED) return;
    slowDown();
    void fetchPage();
  };
  source.addEventListener("away", (event) => {
    const told = JSON.parse(event.data);
    awaySince = Date.now() - told.age;
    awayText = told.text;
    show();
  });
  source.addEventListener("back", () => {
    awaySince = 0;
    show();
  });
  source.addEventListener("full", () => {
    isSlow = true;
    cutSince = 0;
    slowDown();
  });
}

function disconnect() {
  source?.close();
  source = undefined;
  cutSince = 0;
}

function reconnect() {
  disconnect();
  connect();
}

/** Nobody tells what changes: the page is fetched now and then, and the stream tried again. */
function slowDown() {
  source?.close();
  source = undefined;
  clearTimeout(slowTimer);
  slowTimer = setTimeout(() => {
    if (document.hidden || isOut) return;
    void fetchPage();
    connect();
  }, SLOW_MS);
  show();
}

/** The session is over. */
function leave() {
  isOut = true;
  disconnect();
  show();
}

function tick() {
  fetchIfOther();
  say();
  show();
}

function watchVisibility() {
  clearTimeout(hiddenTimer);
  if (document.hidden) hiddenTimer = setTimeout(disconnect, HIDDEN_MS);
  else connect();
}

if (main?.dataset.events) {
  note(main);
  document.body.append(banner, said);
  document.addEventListener("visibilitychange", watchVisibility);
  // A page that is gone back to lives on.
  addEventListener("pagehide", disconnect);
  addEventListener("pageshow", watchVisibility);
  setInterval(tick, 1000);
  watchVisibility();
}
