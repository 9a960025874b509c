// @ts-check
// Pictures of lists that cannot be made, as the input is broken or has gone, leave no empty frame behind.

/** @param {EventTarget | null} image */
const check = (image) => {
  const isPicture = image instanceof HTMLImageElement && image.classList.contains("preview");
  if (isPicture && image.complete && image.naturalWidth === 0) image.remove();
};

// Errors do not bubble. Some came before this was there to hear of them.
document.addEventListener("error", (event) => check(event.target), true);
for (const image of [...document.images]) check(image);

export {};
