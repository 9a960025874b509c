// @ts-check
// The picture of a job: tiles of its channels, its labels and its spots, one upon the other.

/**
 * @typedef {{name: string, low: number, high: number, min: number, max: number, color: string, shown: boolean}} Channel
 * @typedef {{name: string, max: number, feature: number}} Layer
 * @typedef {{width: number, height: number, scale: number, tile: number, levels: number, frames: number,
 *   channels: Channel[], labels: Layer[], spots: boolean, kind: string, problem: string | null}} Image
 * @typedef {{on: boolean, low: number, high: number, color: string}} View
 * @typedef {{label: number, id: string, left: number, top: number, right: number, bottom: number, values: [string, string][]}} Cell
 */

const Seadragon = /** @type {any} */ (globalThis).OpenSeadragon;

/** Where what is chosen for all jobs is kept. */
const KEPT = "rc_view";

/** Steps of a slider of contrast. */
const STEPS = 1000;

/** How long a slider has to rest until tiles are asked for, in milliseconds. */
const REST = 150;

/** What lies upon what. */
const ORDER = ["picture", "labels", "spots"];

for (const place of document.querySelectorAll(".viewer")) {
  if (place instanceof HTMLElement) begin(place);
}

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
    this.chosen = first(image);
    /** @type {Map<string, {item: any, source: string}>} */
    this.layers = new Map();
    this.questions = 0;
    const template = /** @type {HTMLTemplateElement} */ (place.querySelector("template"));
    place.append(template.content.cloneNode(true));
    this.recall();
    this.stage = this.find(".view-stage");
    this.furnish();
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
   * @param {string} name
   * @returns {HTMLInputElement}
   */
  input(name) {
    return /** @type {HTMLInputElement} */ (this.find(`[data-set=${name}]`));
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

  /** Controls for what the image has. */
  furnish() {
    const { channels, labels, frames, spots } = this.image;
    this.find(".view-labels").hidden = labels.length === 0;
    this.find(".view-layers").hidden = labels.length < 2;
    this.find(".view-spots").hidden = !spots;
    this.find(".view-frames").hidden = frames < 2;
    this.input("frame").max = String(frames - 1);
    this.input("layer").replaceChildren(...labels.map((layer, at) => new Option(layer.name, String(at))));
    this.find(".view-channels").replaceChildren(...channels.map((channel, at) => this.row(channel, at)));
    this.tell();
  }

  /**
   * A channel with its box, color and contrast.
   *
   * @param {Channel} channel
   * @param {number} at
   */
  row(channel, at) {
    const row = document.createElement("li");
    const name = document.createElement("label");
    name.append(field("checkbox", `on ${at}`, ""), channel.name);
    const two = document.createElement("span");
    two.className = "two";
    const color = field("color", `color ${at}`, `Color of ${channel.name}`);
    for (const [part, title] of [["low", "Black"], ["high", "Bright"]]) {
      const slider = field("range", `${part} ${at}`, `${title} in ${channel.name}`);
      slider.max = String(STEPS);
      two.append(slider);
    }
    row.append(name, color, two, document.createElement("output"));
    return row;
  }

  /** Has the controls tell what is chosen. */
  tell() {
    const { chosen } = this;
    for (const name of ["labels", "spots", "same"]) this.input(name).checked = chosen[name];
    for (const name of ["layer", "mode", "palette", "opacity", "frame"]) this.input(name).value = String(chosen[name]);
    const frames = /** @type {HTMLElement} */ (this.input("frame").nextElementSibling);
    frames.textContent = `${chosen.frame + 1} of ${this.image.frames}`;
    this.input("gamma").value = String(Math.round(100 * Math.log10(chosen.gamma)));
    const gamma = /** @type {HTMLElement} */ (this.input("gamma").nextElementSibling);
    gamma.textContent = chosen.gamma.toFixed(2);
    [...this.find(".view-channels").children].forEach((row, at) => {
      const view = chosen.channels[at];
      const [on, color, low, high] = row.querySelectorAll("input");
      on.checked = view.on;
      color.value = `#${view.color}`;
      const { from, to } = range(this.image.channels[at]);
      for (const [slider, value] of /** @type {[HTMLInputElement, number][]} */ ([[low, view.low], [high, view.high]])) {
        slider.value = String(Math.round(((value - from) / (to - from)) * STEPS));
        slider.setAttribute("aria-valuetext", short(value));
      }
      /** @type {HTMLElement} */ (row.querySelector("output")).textContent = `${short(view.low)} – ${short(view.high)}`;
    });
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
      showNavigator: true,
      navigatorPosition: "BOTTOM_RIGHT",
      navigatorSizeRatio: 0.18,
      keyboardNavEnabled: false,
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
    const success = (/** @type {{item: any}} */ { item }) => {
      item.layerName = name;
      if (this.layers.get(name) !== layer) {
        this.sea.world.removeItem(item);
        return;
      }
      // What was put there in the meantime counts.
      const old = this.items(name).filter((it) => it !== item);
      layer.item = item;
      this.sort();
      this.refresh();
      if (name === "picture" && old.length === 0) this.arrive();
      const remove = () => old.forEach((it) => this.sea.world.getIndexOfItem(it) >= 0 && this.sea.world.removeItem(it));
      if (opacity === 0) remove();
      else item.addOnceHandler("fully-loaded-change", remove);
    };
    this.sea.addTiledImage({ tileSource, opacity, success });
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
    this.place.addEventListener("input", (event) => {
      if (event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement) this.choose(event.target);
    });
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
    document.addEventListener("keydown", (event) => this.press(event));
    addEventListener("hashchange", () => this.goToAddress());
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
    else if (what === "auto" || what === "reset") this.restore(what === "reset");
    viewport.applyConstraints();
  }

  fill() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.find(".view").requestFullscreen().catch(() => this.say("The browser does not show it on the full screen."));
  }

  /** @param {boolean} all */
  restore(all) {
    const { frame, same } = this.chosen;
    const fresh = first(this.image);
    if (all) {
      this.chosen = { ...fresh, frame, same };
      this.sea.viewport.goHome();
    } else {
      this.chosen.channels.forEach((view, at) => Object.assign(view, { low: fresh.channels[at].low, high: fresh.channels[at].high }));
    }
    this.changed();
  }

  /** @param {HTMLInputElement | HTMLSelectElement} control */
  choose(control) {
    const { chosen } = this;
    const [name, at] = (control.dataset.set ?? "").split(" ");
    const isOn = control instanceof HTMLInputElement && control.checked;
    const number = Number(control.value);
    if (at !== undefined) this.chooseChannel(Number(at), name, control.value, isOn);
    else if (["labels", "spots", "same"].includes(name)) chosen[name] = isOn;
    else if (name === "mode" || name === "palette") chosen[name] = control.value;
    else if (name === "gamma") chosen.gamma = Number((10 ** (number / 100)).toPrecision(3));
    else if (name === "frame") this.turnTo(number);
    else if (name === "layer" || name === "opacity") chosen[name] = number;
    this.changed();
  }

  /**
   * @param {number} at
   * @param {string} name
   * @param {string} value
   * @param {boolean} isOn
   */
  chooseChannel(at, name, value, isOn) {
    const view = this.chosen.channels[at];
    const { from, to } = range(this.image.channels[at]);
    const level = Number((from + ((to - from) * Number(value)) / STEPS).toPrecision(6));
    if (name === "on") view.on = isOn;
    else if (name === "color") view.color = value.slice(1);
    // One handle pushes the other.
    else if (name === "low") Object.assign(view, { low: level, high: Math.max(view.high, level) });
    else Object.assign(view, { high: level, low: Math.min(view.low, level) });
  }

  /** Tells and shows what is chosen, when the hand rests. */
  changed() {
    this.tell();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.keep();
      this.refresh();
    }, REST);
  }

  /** @param {number} frame */
  turnTo(frame) {
    this.chosen.frame = Math.max(0, Math.min(this.image.frames - 1, frame));
    this.unmark();
  }

  /** @param {KeyboardEvent} event */
  press(event) {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target instanceof Element ? event.target : document.body;
    const isMine = target === this.sea.canvas;
    if (target.closest("input:not([type=checkbox]), select, textarea, [contenteditable]")) return;
    const { viewport } = this.sea;
    const step = viewport.getBounds().width / 8;
    const { chosen } = this;
    /** @type {Record<string, () => void>} */
    const moves = {
      ArrowLeft: () => viewport.panBy(new Seadragon.Point(-step, 0)),
      ArrowRight: () => viewport.panBy(new Seadragon.Point(step, 0)),
      ArrowUp: () => viewport.panBy(new Seadragon.Point(0, -step)),
      ArrowDown: () => viewport.panBy(new Seadragon.Point(0, step)),
      Enter: () => void this.ask(viewport.getCenter()),
    };
    /** @type {Record<string, () => void>} */
    const keys = {
      "+": () => this.act("in"),
      "=": () => this.act("in"),
      "-": () => this.act("out"),
      0: () => this.act("fit"),
      l: () => void (chosen.labels = !chosen.labels),
      o: () => void (chosen.mode = chosen.mode === "fill" ? "outline" : "fill"),
      ",": () => this.turnTo(chosen.frame - 1),
      ".": () => this.turnTo(chosen.frame + 1),
    };
    chosen.channels.slice(0, 9).forEach((view, at) => {
      keys[String(at + 1)] = () => void (view.on = !view.on);
    });
    const key = (isMine ? moves[event.key] : undefined) ?? (areKeysOn() ? keys[event.key] : undefined);
    if (!key) return;
    event.preventDefault();
    key();
    viewport.applyConstraints();
    this.changed();
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
    const margin = 2 * Math.max(width, height);
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
    this.turnTo(frame);
    this.changed();
    this.seek(this.chosen.layer, `label=${label}`, true);
  }

  /** Keeps what is chosen, if it is for all jobs. */
  keep() {
    const { same, gamma, channels, mode, palette, opacity } = this.chosen;
    try {
      if (same) localStorage.setItem(KEPT, JSON.stringify({ gamma, channels, mode, palette, opacity }));
      else localStorage.removeItem(KEPT);
    } catch {
      this.say("The browser keeps nothing for other jobs.");
    }
  }

  /** Chooses what was kept, as far as this image has it. */
  recall() {
    let kept;
    try {
      kept = JSON.parse(localStorage.getItem(KEPT) ?? "null");
    } catch {
      return;
    }
    if (kept === null || typeof kept !== "object") return;
    const { chosen } = this;
    chosen.same = true;
    if (kept.gamma >= 0.1 && kept.gamma <= 10) chosen.gamma = kept.gamma;
    if (kept.opacity >= 0 && kept.opacity <= 100) chosen.opacity = kept.opacity;
    if (kept.mode === "fill" || kept.mode === "outline") chosen.mode = kept.mode;
    if (["bright", "safe", "yellow"].includes(kept.palette)) chosen.palette = kept.palette;
    chosen.channels.forEach((view, at) => {
      const { on, low, high, color } = kept.channels?.[at] ?? {};
      const isWhole = Number.isFinite(low) && Number.isFinite(high) && /^[0-9a-f]{6}$/i.test(color);
      if (isWhole) Object.assign(view, { on: Boolean(on), low, high, color });
    });
  }
}

/**
 * What is chosen at first.
 *
 * @param {Image} image
 * @returns {Record<string, any> & {channels: View[]}}
 */
function first(image) {
  const channels = image.channels.map(({ low, high, color, shown }) => ({ on: shown, low, high, color }));
  return { frame: 0, channels, gamma: 1, labels: true, layer: 0, mode: "outline", palette: "bright", opacity: 100, spots: true, same: false };
}

/**
 * The values that a slider of contrast reaches: outliers would leave no room for the rest.
 *
 * @param {Channel} channel
 */
function range({ low, high, min, max }) {
  const to = Math.min(max, low + 4 * (high - low));
  return { from: min, to: to > min ? to : min + 1 };
}

/**
 * A number in a few digits.
 *
 * @param {number} value
 */
function short(value) {
  return String(Number(value.toPrecision(4)));
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

/**
 * @param {string} type
 * @param {string} sets
 * @param {string} name
 */
function field(type, sets, name) {
  const made = document.createElement("input");
  made.type = type;
  made.dataset.set = sets;
  if (name) made.setAttribute("aria-label", name);
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
