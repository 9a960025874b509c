// @ts-check
// Uploads by drag and drop: files go up three at a time, what is there is skipped, and then they are submitted together.

/** Files that are sent at the same time, and how often one is tried again. */
const AT_ONCE = 3, RETRIES = 4;
/** The largest file whose digest is computed, which takes its size in memory. */
const DIGESTED = 64 << 20;
/** Height of a row of the list in pixels, and rows that are drawn above and below what is seen. */
const ROW = 44, AROUND = 6;
/** How often what is heard changes, in milliseconds. */
const SPOKEN = 5000;

/**
 * @typedef {{file: File, path: string, state: "waiting" | "sending" | "done" | "there" | "failed" | "left out", sent: number,
 *   why: string}} Item
 */

const WORDS = {
  "waiting": "waiting", "sending": "sending", "done": "uploaded", "there": "there already", "failed": "failed",
  "left out": "left out",
};

/** @param {string} name @param {Record<string, string>} [attributes] @param {string} [text] */
function make(name, attributes = {}, text = "") {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return element;
}

/** @param {number} bytes */
function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (bytes >= 1000 && unit < units.length - 1) { bytes /= 1000; unit += 1; }
  return `${bytes >= 100 || unit === 0 ? Math.round(bytes) : bytes.toFixed(1)} ${units[unit]}`;
}

/** @param {number} millis */
const pause = (millis) => new Promise((done) => setTimeout(done, millis));

/* Files out of what is dropped. */

/** @param {DataTransfer} transfer @returns {Promise<{file: File, path: string}[]>} */
async function dropped(transfer) {
  const entries = [], plain = [];
  // Both are gone after the first pause.
  for (const item of transfer.items) {
    const entry = item.kind === "file" ? item.webkitGetAsEntry?.() : null;
    if (entry) entries.push(entry);
  }
  for (const file of transfer.files) plain.push({ file, path: file.name });
  /** @type {{file: File, path: string}[]} */
  const found = [];
  for (const entry of entries) await walk(entry, found);
  return found.length > 0 ? found : plain;
}

/** @param {any} entry @param {{file: File, path: string}[]} found */
async function walk(entry, found) {
  const path = entry.fullPath.replace(/^\/+/, "");
  if (entry.isFile) {
    const file = await new Promise((done, fail) => entry.file(done, fail)).catch(() => null);
    if (file) found.push({ file, path });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((done, fail) => reader.readEntries(done, fail)).catch(() => []);
    if (some.length === 0) return;
    for (const inside of some) await walk(inside, found);
  }
}

/** @param {FileList} files */
const chosen = (files) => [...files].map((file) => ({ file, path: file.webkitRelativePath || file.name }));

/**
 * The name of an upload, made of the paths, sizes and times of its files: the same files again are the same upload, of which
 * nothing is sent twice.
 * @param {Item[]} items
 */
function nameOf(items) {
  const lines = items.map((it) => `${it.path}\n${it.file.size}\n${it.file.lastModified}`).sort();
  const [first] = items[0].path.split("/");
  const stem = first.replace(/\.[^.]*$/, "").toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "");
  return `${stem.slice(0, 32) || "files"}-${hash(lines.join("\n"))}`;
}

/** 48 bits by FNV-1a twice, since digests are kept from pages without TLS. @param {string} text */
function hash(text) {
  let [one, other] = [0x811c9dc5, 0x3c6ef372];
  for (const byte of new TextEncoder().encode(text)) {
    one = Math.imul(one ^ byte, 0x01000193);
    other = Math.imul(other ^ byte, 0x01000193) ^ (other >>> 15);
  }
  return [one, other].map((value) => (value >>> 0).toString(16).padStart(8, "0")).join("").slice(2, 14);
}

/** @param {File} file @returns {Promise<string>} */
async function digest(file) {
  if (!globalThis.crypto?.subtle || file.size > DIGESTED) return "";
  const found = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
  return [...new Uint8Array(found)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Files on their way. */
class Uploads {
  /** @param {HTMLFormElement} form @param {HTMLElement} place */
  constructor(form, place) {
    this.form = form;
    this.base = form.dataset.base ?? "";
    this.most = Number(form.dataset.most);
    this.endings = (form.dataset.endings ?? "").split(" ");
    this.token = /** @type {HTMLInputElement} */ (form.elements.namedItem("rc_csrf")).value;
    /** @type {Item[]} */
    this.items = [];
    this.paths = new Set();
    this.name = "";
    this.running = 0;
    this.next = 0;
    this.waits = false;
    this.leaves = false;
    this.asked = false;
    this.spoken = 0;
    this.isDrawn = false;
    this.place = place;
    this.build();
  }

  build() {
    this.summary = make("p", { id: "upload-summary" });
    this.heard = make("p", { class: "unseen", role: "status", "aria-live": "polite" });
    this.bar = /** @type {HTMLProgressElement} */ (make("progress", { "aria-labelledby": "upload-summary", max: "1" }));
    this.again = make("button", { type: "button", hidden: "" }, "Try those that failed once more");
    this.again.addEventListener("click", () => this.retry());
    this.window = make("div", { class: "files", tabindex: "0", role: "region", "aria-label": "Files" });
    this.list = make("ul");
    this.window.append(this.list);
    this.window.addEventListener("scroll", () => this.redraw());
    this.options = make("div", { id: "upload-options" });
    const actions = make("div", { class: "actions" });
    actions.append(this.again);
    this.place.append(this.summary, this.bar, this.heard, this.window, actions, this.options);
    addEventListener("beforeunload", (event) => {
      if (this.items.length > 0 && !this.leaves) event.preventDefault();
    });
  }

  /** @param {{file: File, path: string}[]} found */
  add(found) {
    for (const { file, path } of found) {
      if (this.paths.has(path)) continue;
      this.paths.add(path);
      /** @type {Item} */
      const item = { file, path, state: "waiting", sent: 0, why: "" };
      item.why = this.refusal(item, found.length);
      if (item.why) item.state = "left out";
      this.items.push(item);
    }
    const sendable = this.items.filter((it) => it.state === "waiting");
    if (!this.name && sendable.length > 0) this.name = nameOf(sendable);
    this.place.hidden = this.items.length === 0;
    if (sendable.length > 0) delete this.options?.dataset.settled;
    this.form.classList.toggle("small", this.items.length > 0);
    this.redraw();
    this.start();
  }

  /** Why a file is not sent; of one that is chosen alone its ending does not matter. @param {Item} item @param {number} count */
  refusal({ file, path }, count) {
    const name = path.split("/").pop() ?? "";
    if (path.split("/").some((part) => part.startsWith("."))) return "hidden";
    if (file.size === 0) return "empty";
    if (file.size > this.most) return `larger than ${size(this.most)} (MAX_UPLOAD_BYTES)`;
    const isKnown = this.endings.some((ending) => name.toLowerCase().endsWith(ending));
    return isKnown || count === 1 ? "" : "not called like an image";
  }

  start() {
    while (this.running < AT_ONCE && this.next < this.items.length) {
      const item = this.items[this.next++];
      if (item.state !== "waiting") continue;
      this.running += 1;
      this.take(item).finally(() => { this.running -= 1; this.start(); this.redraw(); this.look(); });
    }
  }

  retry() {
    for (const item of this.items) {
      if (item.state === "failed") { item.state = "waiting"; item.why = ""; item.sent = 0; }
    }
    this.next = 0;
    this.redraw();
    this.start();
  }

  /** @param {Item} item */
  async take(item) {
    item.state = "sending";
    this.redraw();
    const address = `${this.base}/upload/${this.name}/${item.path.split("/").map(encodeURIComponent).join("/")}`;
    try {
      const sha256 = await digest(item.file);
      if (sha256 && await this.isThere(address, item.file.size, sha256)) {
        item.state = "there";
      } else {
        await this.send(item, address, sha256);
        item.state = "done";
      }
      item.sent = item.file.size;
    } catch (error) {
      item.state = "failed";
      item.sent = 0;
      item.why = error instanceof Error ? error.message : String(error);
    }
  }

  /** @param {string} address @param {number} bytes @param {string} sha256 */
  async isThere(address, bytes, sha256) {
    const answer = await fetch(`${address}?size=${bytes}&sha256=${sha256}`, { method: "HEAD" }).catch(() => null);
    return answer?.status === 200;
  }

  /** @param {Item} item @param {string} address @param {string} sha256 */
  async send(item, address, sha256) {
    for (let retries = 0; ; retries += 1) {
      const { status, why } = await this.put(item, address, sha256);
      if (status === 200) return;
      const mayPass = status === 0 || status === 408 || status === 429 || status >= 500;
      if (!mayPass || retries === RETRIES) throw new Error(why);
      item.why = `${why}; tried again`;
      this.redraw();
      await pause(500 * 2 ** retries * (1 + Math.random()));
      item.sent = 0;
    }
  }

  /** @param {Item} item @param {string} address @param {string} sha256 @returns {Promise<{status: number, why: string}>} */
  put(item, address, sha256) {
    return new Promise((done) => {
      // What fetch sends cannot be watched.
      const request = new XMLHttpRequest();
      request.open("PUT", address);
      request.setRequestHeader("X-RC-CSRF", this.token);
      if (sha256) request.setRequestHeader("X-RC-SHA256", sha256);
      request.upload.addEventListener("progress", (event) => { item.sent = event.loaded; this.redraw(); });
      request.addEventListener("loadend", () => {
        let why = request.status === 0 ? "the server does not answer, or the file cannot be read any more" : `HTTP ${request.status}`;
        if ([401, 403].includes(request.status)) why = "you may not, or this page is too old: load it again";
        try { why = JSON.parse(request.responseText).error ?? why; } catch { /* It is no JSON. */ }
        done({ status: request.status, why });
      });
      request.send(item.file);
    });
  }

  isBusy() {
    return this.items.some((it) => it.state === "waiting" || it.state === "sending");
  }

  /** How many files are there. */
  count() {
    return this.items.filter((it) => it.state === "done" || it.state === "there").length;
  }

  /** What follows from a file that has come. */
  look() {
    const count = this.count();
    if (count > 0 && !this.asked) {
      this.asked = true;
      this.inspect(new URLSearchParams({ rc_csrf: this.token, upload: this.name }), count)
        .then(() => { if (!this.isBusy()) this.settle(); }, () => { this.asked = false; });
    }
    if (!this.isBusy()) this.settle();
  }

  /** All that can come is there. */
  settle() {
    this.draw();
    this.speak(true);
    const form = /** @type {HTMLFormElement | null} */ (this.options?.querySelector("form"));
    if (!form) return;
    const count = this.count();
    const isBatch = form.elements.namedItem("name") !== null;
    // The number of files decides whether they are a batch.
    if ((count > 1) !== isBatch || this.shown !== count) {
      this.inspect(this.said(form), count).then(() => this.goOn());
    } else {
      this.goOn();
    }
  }

  goOn() {
    // The options stay as they are from now on.
    if (this.options) this.options.dataset.settled = "yes";
    const failed = this.items.some((it) => it.state === "failed");
    if (!this.waits || failed) return;
    this.waits = false;
    /** @type {HTMLFormElement | null} */ (this.options?.querySelector("form"))?.requestSubmit();
  }

  /** @param {HTMLFormElement} form */
  said(form) {
    const pairs = [...new FormData(form)].map(([name, value]) => [name, String(value)]);
    return new URLSearchParams(pairs);
  }

  /** Shows the options for what is there so far. @param {URLSearchParams} said @param {number} [count] */
  async inspect(said, count) {
    const answer = await fetch(`${this.base}/inspect`, { method: "POST", body: said });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const form = page.getElementById("options");
    const shown = form ?? page.querySelector("main .question, main p");
    this.shown = count;
    if (!shown || !this.options) return;
    const focus = document.activeElement?.id;
    this.options.replaceChildren(document.adoptNode(shown));
    if (focus) document.getElementById(focus)?.focus();
    if (form) this.wire(/** @type {HTMLFormElement} */ (form));
  }

  /** @param {HTMLFormElement} form */
  wire(form) {
    form.classList.add("scripted");
    // It says how many files there are, which changes while they come.
    const files = /** @type {HTMLElement | null} */ (form.querySelector(".question"));
    if (files) files.hidden = this.isBusy();
    const change = () => this.inspect(this.said(form), this.shown);
    form.querySelector("#type")?.addEventListener("change", () => {
      const said = this.said(form);
      const kept = new URLSearchParams();
      for (const name of ["rc_csrf", "upload", "type", "name"]) {
        const value = said.get(name);
        if (value) kept.set(name, value);
      }
      this.inspect(kept, this.shown);
    });
    form.querySelector("#dimension_order")?.addEventListener("change", change);
    form.addEventListener("submit", (event) => {
      if (this.isBusy()) {
        event.preventDefault();
        this.waits = true;
        this.draw();
        return;
      }
      this.leaves = true;
    });
  }

  redraw() {
    if (this.isDrawn) return;
    this.isDrawn = true;
    requestAnimationFrame(() => { this.isDrawn = false; this.draw(); });
  }

  draw() {
    if (!this.list || !this.window || !this.bar || !this.summary || !this.again) return;
    const sendable = this.items.filter((it) => it.state !== "left out");
    const total = sendable.reduce((sum, it) => sum + it.file.size, 0);
    const sent = sendable.reduce((sum, it) => sum + Math.min(it.sent, it.file.size), 0);
    this.bar.max = Math.max(total, 1);
    this.bar.value = sent;
    this.summary.textContent = this.text(sendable, sent, total);
    this.again.hidden = this.isBusy() || !this.items.some((it) => it.state === "failed");
    this.speak(false);
    // What failed stands in front, where it is seen.
    const failed = this.items.filter((it) => it.state === "failed");
    const shown = failed.length > 0 ? [...failed, ...this.items.filter((it) => it.state !== "failed")] : this.items;
    const first = Math.max(0, Math.floor(this.window.scrollTop / ROW) - AROUND);
    const last = Math.min(this.items.length, first + Math.ceil(this.window.clientHeight / ROW) + 2 * AROUND);
    this.list.style.height = `${this.items.length * ROW}px`;
    this.list.replaceChildren(...shown.slice(first, last).map((it, at) => this.row(it, first + at)));
  }

  /** @param {Item[]} sendable @param {number} sent @param {number} total */
  text(sendable, sent, total) {
    const count = (/** @type {string[]} */ ...states) => this.items.filter((it) => states.includes(it.state)).length;
    const parts = [`${count("done", "there")} of ${sendable.length} files there (${size(sent)} of ${size(total)})`];
    const [failed, out] = [count("failed"), count("left out")];
    if (failed > 0) parts.push(`${failed} failed`);
    if (out > 0) parts.push(`${out} left out`);
    if (this.waits) parts.push("goes on as soon as all are there");
    return parts.join(", ");
  }

  /** @param {boolean} isLast */
  speak(isLast) {
    const now = Date.now();
    if (!this.heard || !this.summary || (!isLast && now - this.spoken < SPOKEN)) return;
    this.spoken = now;
    this.heard.textContent = this.summary.textContent;
  }

  /** @param {Item} item @param {number} at */
  row(item, at) {
    const row = make("li", { "aria-setsize": String(this.items.length), "aria-posinset": String(at + 1) });
    row.style.top = `${at * ROW}px`;
    const state = make("span", { class: `state ${item.state.replace(" ", "-")}` }, WORDS[item.state]);
    const bar = /** @type {HTMLProgressElement} */ (make("progress", { "aria-label": item.path }));
    bar.max = Math.max(item.file.size, 1);
    bar.value = item.sent;
    const note = item.why || size(item.file.size);
    row.append(make("span", { class: "path", title: item.path, dir: "auto" }, item.path));
    if (item.state === "sending") row.append(bar);
    row.append(state, make("span", { class: "note", title: note }, note));
    return row;
  }
}

/** Makes a zone of the plain form. @param {HTMLFormElement} form @param {HTMLElement} place */
function furnish(form, place) {
  const uploads = new Uploads(form, place);
  const files = /** @type {HTMLInputElement} */ (document.getElementById("files"));
  const folder = /** @type {HTMLInputElement} */ (make("input", { type: "file", id: "folder", webkitdirectory: "", multiple: "" }));
  const line = make("p");
  line.append(make("label", { for: "folder" }, "Or a folder, with all that is in it"), folder);
  const pick = make("div", { class: "pick" });
  files.closest("p")?.before(pick);
  pick.append(/** @type {HTMLElement} */ (files.closest("p")), line);
  form.querySelector(".actions")?.remove();
  form.classList.add("zone");
  form.prepend(make("p", { class: "question" }, "Drop images and folders here"));
  for (const input of [files, folder]) {
    input.addEventListener("change", () => {
      if (input.files) uploads.add(chosen(input.files));
      input.value = "";
    });
  }
  form.addEventListener("submit", (event) => event.preventDefault());
  // What misses the zone would be opened in place of the page.
  for (const name of ["dragover", "drop"]) {
    addEventListener(name, (event) => event.preventDefault());
  }
  form.addEventListener("dragover", () => form.classList.add("over"));
  for (const name of ["dragleave", "drop", "dragend"]) {
    form.addEventListener(name, () => form.classList.remove("over"));
  }
  form.addEventListener("drop", async (event) => {
    if (event.dataTransfer) uploads.add(await dropped(event.dataTransfer));
  });
}

const form = document.getElementById("drop"), place = document.getElementById("uploads");
if (form instanceof HTMLFormElement && place) furnish(form, place);
