// @ts-check
// What is chosen of a picture: labels, channels, contrast, frame. The picture itself is another script's, which listens.

/**
 * @typedef {{name: string, low: number, high: number, min: number, max: number, color: string, shown: boolean}} Channel
 * @typedef {{frames: number, channels: Channel[], labels: {name: string, max: number, feature: number}[], spots: boolean}} Image
 * @typedef {{on: boolean, low: number, high: number, color: string}} View
 */

/** Where what is chosen for all jobs is kept. */
const KEPT = "rc_view";

/** Steps of a slider of contrast. */
const STEPS = 1000;

/** How long a slider has to rest until somebody is told, in milliseconds. */
const REST = 150;

/** Tells `chosen` when what is chosen is another thing, and `frame` when the frame is. */
class ViewPanel extends HTMLElement {
  /** @type {Image} */
  image = { frames: 1, channels: [], labels: [], spots: false };

  /** @type {Record<string, any> & {channels: View[], frame: number}} */
  chosen = first(this.image);

  /**
   * Begins with what is to be seen of this image, or was kept for all.
   *
   * @param {Image} image
   */
  begin(image) {
    this.image = image;
    this.chosen = first(image);
    this.recall();
    this.furnish();
    this.addEventListener("input", (event) => {
      if (event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement) this.choose(event.target);
    });
  }

  /**
   * @param {string} selector
   * @returns {HTMLElement}
   */
  find(selector) {
    return /** @type {HTMLElement} */ (this.querySelector(selector));
  }

  /**
   * @param {string} name
   * @returns {HTMLInputElement}
   */
  input(name) {
    return /** @type {HTMLInputElement} */ (this.find(`[data-set=${name}]`));
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

  /**
   * The contrast as at first, or everything.
   *
   * @param {boolean} all
   */
  restore(all) {
    const { frame, same } = this.chosen;
    const fresh = first(this.image);
    if (all) {
      this.chosen = { ...fresh, frame, same };
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

  /** Tells what is chosen, when the hand rests. */
  changed() {
    this.tell();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.keep();
      this.dispatchEvent(new Event("chosen"));
    }, REST);
  }

  /** @param {number} frame */
  turnTo(frame) {
    this.chosen.frame = Math.max(0, Math.min(this.image.frames - 1, frame));
    this.dispatchEvent(new Event("frame"));
  }

  /** Keeps what is chosen, if it is for all jobs. */
  keep() {
    const { same, gamma, channels, mode, palette, opacity } = this.chosen;
    try {
      if (same) localStorage.setItem(KEPT, JSON.stringify({ gamma, channels, mode, palette, opacity }));
      else localStorage.removeItem(KEPT);
    } catch {
      this.chosen.same = false;
      this.tell();
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
 * @returns {Record<string, any> & {channels: View[], frame: number}}
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

customElements.define("view-panel", ViewPanel);
