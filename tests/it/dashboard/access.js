// What a page looks like, for tests: gives a list of what is wrong, in words.
(() => {
  const wrong = [];
  const words = (it) => (it.textContent || it.getAttribute?.('aria-label') || it.name || '').trim().slice(0, 40);
  const say = (what, element, more) => wrong.push(`${what}: <${element.tagName.toLowerCase()} class="${element.getAttribute('class') ?? ''}"> “${words(element)}” ${more}`);
  // On narrow screens, the heads of tables are for those who hear them.
  const clipped = (element) => element !== null && getComputedStyle(element).clipPath !== 'none';
  const hidden = (element) => element.closest('.unseen, .skip, [hidden], dialog:not([open])') !== null || !element.checkVisibility() || clipped(element.closest('thead'));

  // What is behind a dialog is not seen.
  const root = document.querySelector('dialog[open]') ?? document.body;

  // Contrast.
  const numbers = (color) => {
    if (!color.startsWith('rgb')) throw new Error(`a color of another kind: ${color}`);
    const [r, g, b, a = 1] = color.match(/[\d.]+/g).map(Number);
    return { r, g, b, a };
  };
  const over = (front, back) => ({
    r: front.r * front.a + back.r * (1 - front.a),
    g: front.g * front.a + back.g * (1 - front.a),
    b: front.b * front.a + back.b * (1 - front.a),
    a: 1,
  });
  const ground = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const color = numbers(getComputedStyle(at).backgroundColor);
      layers.push(color);
      if (color.a === 1) break;
    }
    return layers.reverse().reduce((back, front) => over(front, back));
  };
  const light = ({ r, g, b }) => {
    const [x, y, z] = [r, g, b].map((it) => it / 255).map((it) => (it <= 0.04045 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const contrast = (one, other) => {
    const [high, low] = [light(one), light(other)].sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
  };
  const enough = (element, color, wanted) => {
    const back = ground(element);
    const found = contrast(over(numbers(color), back), back);
    if (found < wanted) say('contrast', element, `${found.toFixed(2)}, ${color}`);
  };

  // The part of a rectangle that boxes which are scrolled show.
  const within = (element, rect) => {
    let { left, right, top, bottom } = rect;
    for (let at = element.parentElement; at && at !== document.body; at = at.parentElement) {
      if (!['auto', 'scroll', 'hidden', 'clip'].includes(getComputedStyle(at).overflowY)) continue;
      const box = at.getBoundingClientRect();
      [top, bottom] = [Math.max(top, box.top), Math.min(bottom, box.bottom)];
    }
    return { left, right, top, bottom, width: right - left, height: bottom - top };
  };

  // What is seen: texts, controls, pictures.
  const seen = [];
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    const element = node.parentElement;
    if (!node.data.trim() || hidden(element) || element.closest('svg, select')) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    // What is cut is not seen.
    const box = element.getBoundingClientRect();
    const cut = getComputedStyle(element).overflowX === 'clip' ? [box] : [...range.getClientRects()];
    const rects = cut.map((it) => within(element, it)).filter((it) => it.width > 1 && it.height > 1);
    if (!rects.length) continue;
    seen.push({ element, rects, text: node.data.trim() });
    const style = getComputedStyle(element);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    enough(element, style.color, large ? 3 : 4.5);
    if (style.opacity !== '1') say('opacity', element, style.opacity);
  }
  for (const field of root.querySelectorAll('input[placeholder]')) {
    if (!hidden(field)) enough(field, getComputedStyle(field, '::placeholder').color, 4.5);
  }
  for (const legend of root.querySelectorAll('.legend')) {
    enough(legend, getComputedStyle(legend, '::before').backgroundColor, 3);
  }
  for (const element of root.querySelectorAll('input:not([type=hidden]), select, img, svg')) {
    if (hidden(element) || element.parentElement.closest('svg')) continue;
    const rect = within(element, element.getBoundingClientRect());
    if (rect.width > 1 && rect.height > 1) seen.push({ element, rects: [rect], text: '' });
  }

  // Nothing lies upon something else, and nothing beside the page.
  const scrolls = (element) => {
    for (let at = element; at && at !== document.body; at = at.parentElement) {
      if (['auto', 'scroll', 'hidden', 'clip'].includes(getComputedStyle(at).overflowX)) return true;
    }
    return false;
  };
  seen.forEach((one, at) => {
    for (const rect of one.rects) {
      if ((rect.right > innerWidth + 1 || rect.left < -1) && !scrolls(one.element)) say('outside', one.element, `${rect.left}–${rect.right}`);
      for (const other of seen.slice(at + 1)) {
        // Both ends of a range are on one line, and only their handles can be touched.
        const pair = one.element.closest('.two');
        if (pair && pair === other.element.closest('.two')) continue;
        if (one.element.contains(other.element) && !one.text || other.element.contains(one.element) && !other.text) continue;
        for (const it of other.rects) {
          const width = Math.min(rect.right, it.right) - Math.max(rect.left, it.left);
          const height = Math.min(rect.bottom, it.bottom) - Math.max(rect.top, it.top);
          if (width > 2 && height > 5) say('overlap', one.element, `with “${words(other.element)}”, ${width.toFixed(0)} × ${height.toFixed(0)}`);
        }
      }
    }
  });
  const page = document.documentElement;
  if (page.scrollWidth > innerWidth) wrong.push(`the page is ${page.scrollWidth} wide, the window ${innerWidth}`);
  for (const box of root.querySelectorAll('.table')) {
    // Measurements of cells are as many as there are channels.
    if (innerWidth >= 1280 && !box.querySelector('thead a') && box.scrollWidth > box.clientWidth + 1) say('a table has to be scrolled', box, `${box.scrollWidth} of ${box.clientWidth}`);
  }

  // Targets: 24 pixels, or so far from others, or a part of a sentence.
  const targets = [...root.querySelectorAll('a[href], button, input:not([type=hidden]), select, summary')].filter((it) => !hidden(it) && it.getBoundingClientRect().width > 1);
  const boxes = targets.map((it) => (it.closest('label') ?? it).getBoundingClientRect());
  targets.forEach((target, at) => {
    const box = boxes[at];
    if (box.width >= 24 && box.height >= 24) return;
    const inline = getComputedStyle(target).display === 'inline' && [...target.parentElement.childNodes].some((it) => it.nodeType === 3 && it.data.trim());
    if (inline) return;
    const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
    boxes.forEach((other, index) => {
      if (index === at) return;
      const [dx, dy] = [Math.max(other.left - x, x - other.right, 0), Math.max(other.top - y, y - other.bottom, 0)];
      if (Math.hypot(dx, dy) < 11.5) say('target', target, `${box.width.toFixed(0)} × ${box.height.toFixed(0)}, near “${words(targets[index])}”`);
    });
  });

  // Words and structure.
  if (document.querySelectorAll('h1').length !== 1) wrong.push('not one h1');
  for (const time of document.querySelectorAll('time')) {
    if (!time.title || Number.isNaN(Date.parse(time.dateTime))) say('time', time, time.outerHTML);
  }
  for (const table of document.querySelectorAll('table')) {
    if (!table.caption?.textContent.trim()) say('a table without a caption', table, '');
    for (const head of table.querySelectorAll('th:not([scope])')) say('a heading without scope', head, '');
  }
  if (!getComputedStyle(document.body).fontVariantNumeric.includes('tabular-nums')) wrong.push('numbers are not tabular');
  return wrong;
})()
