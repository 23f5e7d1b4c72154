// Runs before the first paint, so that a chosen theme does not flash. The page's policy allows no inline scripts.
try {
  const theme = localStorage.getItem("helmr-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage can be forbidden; the system's theme is used then.
}
