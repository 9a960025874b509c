// @ts-check
// Light or dark, as it was chosen in this browser. This runs before anything is drawn, so that no page flashes.

(() => {
  const NAME = 'rc.theme';
  const root = document.documentElement;

  /** @returns {string} */
  const chosen = () => {
    try {
      return localStorage.getItem(NAME) ?? '';
    } catch {
      return '';
    }
  };

  const show = () => {
    const theme = chosen();
    if (theme === 'light' || theme === 'dark') root.dataset.theme = theme;
    else delete root.dataset.theme;
    const select = document.getElementById('theme');
    if (select instanceof HTMLSelectElement) select.value = root.dataset.theme ?? 'auto';
  };

  /** @param {string} theme */
  const choose = (theme) => {
    try {
      if (theme === 'auto') localStorage.removeItem(NAME);
      else localStorage.setItem(NAME, theme);
    } catch {
      // Where nothing may be kept, it stays as the system has it.
    }
    show();
  };

  show();
  // Other tabs follow, and pages that a browser brings back as they were.
  addEventListener('storage', show);
  addEventListener('pageshow', show);
  addEventListener('DOMContentLoaded', () => {
    const select = document.getElementById('theme');
    if (!(select instanceof HTMLSelectElement)) return;
    select.addEventListener('change', () => choose(select.value));
    // What needs a script is not there without one.
    select.closest('footer')?.removeAttribute('hidden');
    show();
  });
})();
