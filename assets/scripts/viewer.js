// @ts-check
// The picture of a job: tiles of its channels, its labels and its spots, one upon the other.

/**
 * @typedef {{width: number, height: number, scale: number, tile: number, levels: number, frames: number,
 *   labels: {feature: number}[], spots: boolean, problem: string | null}} Image
 * @typedef {{on: boolean, low: number, high: number, color: string}} View
 * @typedef {{label: number, id: string, left: number, top: number, right: number, bottom: number, values: [string, string][]}} Cell
 */

const Seadragon = /** @type {any} */ (globalThis).OpenSeadragon;

/** What lies upon what. */
const ORDER = ["picture", "labels", "spots"];

/** @type {WeakSet<Element>} */
const begun = new WeakSet();

function beginAll() {
  for (const place of document.querySelectorAll(".viewer")) {
    if (!(place instanceof HTMLElement) || begun.has(place)) continue;
    begun.add(place);
    begin(place);
  }
}

beginAll();
// A job that has ended meanwhile has labels, too.
document.addEventListener("live:page", beginAll);

/** @param {HTMLElement} place */
async function begin(place) {
  const said = /** @type {HTMLElement} */ (place.querySelector(".view-said"));
  said.textContent = "The picture is being read …";
  try {
    const image = /** @type {Image} */ (await asked(`${place.dataset.job}/image.json?v=${place.dataset.version}`));
    said.textContent = "";
    new Viewer(place, image, said);
  } catch (error) {
    said.textContent = `It cannot be looked into: ${error instanceof Error ? error.message : error}`;
  }
}

/**
 * @param {string} address
 * @returns {Promise<unknown>}
 */
async function asked(address) {
  const answer = await fetch(address);
  const isJson = answer.headers.get("content-type")?.startsWith("application/json");
  if (!isJson) throw new Error(`the dashboard answers ${answer.status}; load the page again`);
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error);
  return body;
}

class Viewer {
  /**
   * @param {HTMLElement} place
   * @param {Image} image
   * @param {HTMLElement} said
   */
  constructor(place, image, said) {
    this.place = place;
    this.image = image;
    this.said = said;
    this.job = place.dataset.job ?? "";
    this.version = place.dataset.version ?? "";
    /** @type {Map<string, {item: any, source: string}>} */
    this.layers = new Map();
    this.questions = 0;
    /** @type {boolean | undefined} */
    this.isSmooth = undefined;
    const template = /** @type {HTMLTemplateElement} */ (place.querySelector("template"));
    place.append(template.content.cloneNode(true));
    this.stage = this.find(".view-stage");
    /** The other script's. */
    this.panel = /** @type {any} */ (this.find("view-panel"));
    this.panel.begin(image);
    this.open();
    this.listen();
    this.say(image.problem ? `Without labels: ${image.problem}` : this.size());
    /** @type {HTMLElement} */ (place.querySelector(".preview")).hidden = true;
  }

  /**
   * @param {string} selector
   * @returns {HTMLElement}
   */
  find(selector) {
    return /** @type {HTMLElement} */ (this.place.querySelector(selector));
  }

  /**
   * What is chosen now.
   *
   * @returns {Record<string, any> & {channels: View[]}}
   */
  get chosen() {
    return this.panel.chosen;
  }

  /** @param {string} text */
  say(text) {
    this.said.textContent = text;
  }

  size() {
    const { width, height, scale } = this.image;
    const size = `${width * scale} × ${height * scale} pixels`;
    return scale > 1 ? `${size}, shown at 1/${scale} of its resolution: there is no room for more` : size;
  }

  open() {
    // Seadragon adds a style, which the policy of our pages forbids, unless it finds one of this name.
    const none = document.createElementNS("urn:none", "style");
    none.setAttribute("data-openseadragon-mobile-css", "");
    document.head.append(none);
    this.sea = Seadragon({
      element: this.stage,
      drawer: "canvas",
      showNavigationControl: false,
      // It would hide half of the image.
      showNavigator: matchMedia("(min-width: 46rem)").matches,
      navigatorPosition: "BOTTOM_RIGHT",
      navigatorSizeRatio: 0.18,
      keyboardNavEnabled: false,
      imageLoaderLimit: 6,
      // The first tile waits until the image is decoded.
      timeout: 120000,
      maxZoomPixelRatio: 32,
      minZoomImageRatio: 0.5,
      visibilityRatio: 0.3,
      gestureSettingsMouse: { clickToZoom: false },
      gestureSettingsTouch: { clickToZoom: false },
      animationTime: matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 0.4,
    });
    // What has the focus is told what it is.
    const canvas = this.sea.canvas;
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "application");
    canvas.setAttribute("aria-label", `${this.stage.getAttribute("aria-label")}. Keys: plus, minus, 0, arrows; Enter tells the cell in the middle`);
    this.refresh();
  }

  /** Has everything shown as it is chosen. */
  refresh() {
    const { chosen, image, job, version } = this;
    const on = chosen.channels.flatMap((view, at) => (view.on ? [`${at}:${view.low}:${view.high}:${view.color}`] : []));
    const channels = on.length > 0 ? on.join(",") : "0:0:1:000000";
    this.show("picture", `${job}/tile/${chosen.frame}/`, `?c=${channels}&g=${chosen.gamma}&v=${version}`, 1);
    if (image.labels.length > 0) {
      const query = `?mode=${chosen.mode}&palette=${chosen.palette}&v=${version}`;
      this.show("labels", `${job}/labels/${chosen.layer}/${chosen.frame}/`, query, chosen.labels ? chosen.opacity / 100 : 0);
    }
    if (image.spots) this.show("spots", `${job}/spots/${chosen.frame}/`, `?v=${version}`, chosen.spots ? 1 : 0);
  }

  /**
   * Shows a layer; the former one stays until the new one is there.
   *
   * @param {string} name
   * @param {string} before
   * @param {string} behind
   * @param {number} opacity
   */
  show(name, before, behind, opacity) {
    const source = before + behind;
    const shown = this.layers.get(name);
    if (shown?.source === source) {
      shown.item?.setOpacity(opacity);
      return;
    }
    const former = shown?.item;
    /** @type {{item: any, source: string}} */
    const layer = { item: former, source };
    this.layers.set(name, layer);
    const { width, height, tile, levels } = this.image;
    const tileSource = {
      width,
      height,
      tileSize: tile,
      minLevel: 0,
      maxLevel: levels - 1,
      getTileUrl: (/** @type {number} */ level, /** @type {number} */ x, /** @type {number} */ y) =>
        `${before}${levels - 1 - level}/${x}_${y}.png${behind}`,
    };
    const success = (/** @type {{item: any}} */ { item }) => this.shown(name, layer, item);
    this.sea.addTiledImage({ tileSource, opacity, success });
  }

  /**
   * A layer is there, though not its tiles.
   *
   * @param {string} name
   * @param {{item: any, source: string}} layer
   * @param {any} item
   */
  shown(name, layer, item) {
    const { world } = this.sea;
    // What was chosen in the meantime counts.
    if (this.layers.get(name) !== layer) return world.removeItem(item);
    item.layerName = name;
    layer.item = item;
    const old = this.items(name).filter((it) => it !== item);
    this.sort();
    this.refresh();
    if (name === "picture" && old.length === 0) this.arrive();
    const remove = () => old.forEach((it) => world.getIndexOfItem(it) >= 0 && world.removeItem(it));
    if (item.getOpacity() === 0) remove();
    else item.addOnceHandler("fully-loaded-change", remove);
  }

  /**
   * All of a layer that is shown.
   *
   * @param {string} name
   * @returns {any[]}
   */
  items(name) {
    const { world } = this.sea;
    const all = Array.from({ length: world.getItemCount() }, (_, at) => world.getItemAt(at));
    return all.filter((item) => item.layerName === name);
  }

  /** Puts labels above pictures, and spots above labels. */
  sort() {
    ORDER.flatMap((name) => this.items(name)).forEach((item, at) => this.sea.world.setItemIndex(item, at));
  }

  listen() {
    this.place.addEventListener("click", (event) => {
      const button = event.target instanceof Element ? event.target.closest("[data-do]") : null;
      if (button instanceof HTMLElement) this.act(button.dataset.do ?? "");
    });
    this.panel.addEventListener("chosen", () => this.refresh());
    this.panel.addEventListener("frame", () => this.unmark());
    this.sea.addHandler("canvas-key", (/** @type {any} */ event) => {
      event.preventDefaultAction = true;
    });
    // A page is scrolled past a picture that nobody has touched.
    this.sea.addHandler("canvas-scroll", (/** @type {any} */ event) => {
      const isMine = document.activeElement === this.sea.canvas || document.fullscreenElement !== null;
      event.preventDefaultAction = !isMine;
      event.preventDefault = isMine;
    });
    this.sea.addHandler("canvas-click", (/** @type {any} */ event) => {
      if (event.quick) this.ask(this.sea.viewport.pointFromPixel(event.position));
    });
    this.sea.addHandler("viewport-change", () => this.smooth());
    // Another picture may have taken its place.
    document.addEventListener("keydown", (event) => this.place.isConnected && this.press(event));
    addEventListener("hashchange", () => this.place.isConnected && this.goToAddress());
  }

  /** The first picture is there. */
  arrive() {
    this.smooth();
    this.goToAddress();
  }

  /** Pixels are seen as they are from 1:1 on. */
  smooth() {
    const item = this.layers.get("picture")?.item;
    if (!item) return;
    const isSmooth = item.viewportToImageZoom(this.sea.viewport.getZoom(true)) < 1;
    if (isSmooth !== this.isSmooth) this.sea.drawer.setImageSmoothingEnabled(isSmooth);
    this.isSmooth = isSmooth;
  }

  /** @param {string} what */
  act(what) {
    const { viewport } = this.sea;
    const item = this.layers.get("picture")?.item;
    if (what === "in") viewport.zoomBy(1.5);
    else if (what === "out") viewport.zoomBy(1 / 1.5);
    else if (what === "fit") viewport.goHome();
    else if (what === "pixels" && item) viewport.zoomTo(item.imageToViewportZoom(1));
    else if (what === "full") this.fill();
    else if (what === "auto") this.panel.restore(false);
    else if (what === "reset") {
      this.panel.restore(true);
      viewport.goHome();
    }
    viewport.applyConstraints();
  }

  fill() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.find(".view").requestFullscreen().catch(() => this.say("The browser does not show it on the full screen."));
  }

  /** @param {KeyboardEvent} event */
  press(event) {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target instanceof Element ? event.target : document.body;
    if (target.closest("input:not([type=checkbox]), select, textarea, [contenteditable]")) return;
    const isMine = target === this.sea.canvas;
    const key = (isMine ? this.move(event.key) : undefined) ?? (areKeysOn() ? this.choice(event.key) : undefined);
    if (!key) return;
    event.preventDefault();
    key();
  }

  /**
   * What a key does to the picture that has the focus.
   *
   * @param {string} key
   */
  move(key) {
    const { viewport } = this.sea;
    const step = viewport.getBounds().width / 8;
    const pan = (/** @type {number} */ x, /** @type {number} */ y) => () => {
      viewport.panBy(new Seadragon.Point(x * step, y * step));
      viewport.applyConstraints();
    };
    /** @type {Record<string, () => void>} */
    const moves = {
      ArrowLeft: pan(-1, 0),
      ArrowRight: pan(1, 0),
      ArrowUp: pan(0, -1),
      ArrowDown: pan(0, 1),
      Enter: () => void this.ask(viewport.getCenter()),
    };
    return moves[key];
  }

  /**
   * What a key does wherever the focus is.
   *
   * @param {string} key
   */
  choice(key) {
    const { chosen, panel } = this;
    const zooms = { "+": "in", "=": "in", "-": "out", 0: "fit" };
    const zoom = zooms[/** @type {keyof typeof zooms} */ (key)];
    if (zoom) return () => this.act(zoom);
    /** @type {Record<string, () => void>} */
    const choices = {
      l: () => void (chosen.labels = !chosen.labels),
      o: () => void (chosen.mode = chosen.mode === "fill" ? "outline" : "fill"),
      ",": () => panel.turnTo(chosen.frame - 1),
      ".": () => panel.turnTo(chosen.frame + 1),
    };
    chosen.channels.slice(0, 9).forEach((view, at) => {
      choices[String(at + 1)] = () => void (view.on = !view.on);
    });
    const choose = choices[key];
    return choose && (() => { choose(); panel.changed(); });
  }

  /**
   * Asks which cell is at a point of the view.
   *
   * @param {any} point
   */
  async ask(point) {
    const item = this.layers.get("picture")?.item;
    if (!item || this.image.labels.length === 0) return;
    const { x, y } = item.viewportToImageCoordinates(point);
    const { width, height, scale } = this.image;
    if (x < 0 || y < 0 || x >= width || y >= height) return;
    await this.seek(this.chosen.layer, `x=${Math.floor(x * scale)}&y=${Math.floor(y * scale)}`, false);
  }

  /**
   * Finds a cell, and shows it in words, in the picture and in the table.
   *
   * @param {number} layer
   * @param {string} which
   * @param {boolean} isFar
   */
  async seek(layer, which, isFar) {
    const question = ++this.questions;
    this.say("The cell is being measured …");
    try {
      const address = `${this.job}/label?n=${layer}&frame=${this.chosen.frame}&${which}&v=${this.version}`;
      const cell = /** @type {Cell} */ (await asked(address));
      if (question !== this.questions) return;
      this.unmark();
      this.say(cell.label === 0 ? "No cell there" : `Cell ${cell.label}`);
      if (cell.label !== 0) this.mark(cell, isFar);
    } catch (error) {
      if (question === this.questions) this.say(error instanceof Error ? error.message : String(error));
    }
  }

  /**
   * @param {Cell} cell
   * @param {boolean} isFar
   */
  mark(cell, isFar) {
    const list = document.createElement("dl");
    list.className = "facts";
    for (const [name, value] of cell.values) {
      const pair = document.createElement("div");
      pair.append(element("dt", name), element("dd", value));
      list.append(pair);
    }
    this.find(".view-cell").replaceChildren(list);
    document.getElementById(cell.id)?.classList.add("here");
    const item = this.layers.get("picture")?.item;
    if (!item) return;
    const { scale } = this.image;
    const [left, top] = [cell.left / scale, cell.top / scale];
    const [width, height] = [(cell.right - cell.left) / scale, (cell.bottom - cell.top) / scale];
    const frame = element("div", "");
    frame.className = "view-mark";
    this.sea.addOverlay({ element: frame, location: item.imageToViewportRectangle(left, top, width, height) });
    if (!isFar) return;
    // Some of what is around it, however small it is.
    const margin = Math.max(2 * width, 2 * height, 32);
    const around = item.imageToViewportRectangle(left - margin, top - margin, width + 2 * margin, height + 2 * margin);
    this.sea.viewport.fitBoundsWithConstraints(around);
    this.place.scrollIntoView({ block: "nearest" });
  }

  unmark() {
    this.sea.clearOverlays();
    this.find(".view-cell").replaceChildren();
    document.querySelectorAll("tr.here").forEach((row) => row.classList.remove("here"));
  }

  /** Goes to the cell that the address of the page names: `cell=7`, or its kind, frame and label, `cell=0.3.7`. */
  goToAddress() {
    const named = new URLSearchParams(location.hash.slice(1)).get("cell") ?? new URLSearchParams(location.search).get("cell");
    const parts = (named ?? "").split(".").map(Number);
    const [feature, frame, label] = parts.length === 3 ? parts : [NaN, this.chosen.frame, parts[0]];
    if (!named || !Number.isInteger(label) || !Number.isInteger(frame)) return;
    const layer = this.image.labels.findIndex((it) => it.feature === feature);
    this.chosen.layer = Math.max(0, layer);
    this.panel.turnTo(frame);
    this.panel.changed();
    this.seek(this.chosen.layer, `label=${label}`, true);
  }

}

/**
 * @param {string} tag
 * @param {string} text
 */
function element(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

/** Whether single keys do something: there is a switch for all pages. */
function areKeysOn() {
  try {
    return localStorage.getItem("rc.keys") !== "off";
  } catch {
    return true;
  }
}
