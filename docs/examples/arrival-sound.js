const sound = new Audio("/sounds/arrival.mp3");
const MIN_PAUSE_MS = 2_000;
let playedAt = -MIN_PAUSE_MS;

document.querySelector("hub-inbox")?.addEventListener("hub-arrived", ({ timeStamp, detail }) => {
  if (detail.notification.priority === "LOW" || !document.hasFocus()) return; // other tabs stay silent
  if (timeStamp - playedAt < MIN_PAUSE_MS) return; // several arrived at once
  playedAt = timeStamp;
  sound.play().catch(() => {}); // browsers allow sound after the user has used the page
});
