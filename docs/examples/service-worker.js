export {};
const self = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (globalThis));
const { clients } = self;

// [start:worker]
const report = (url, event) => fetch(url, { method: "POST", body: JSON.stringify({ event }), keepalive: true });
self.addEventListener("push", (event) => {
  if (!event.data) return;
  const push = event.data.json();
  const shown = self.registration.showNotification(push.title, { body: push.body, tag: push.tag, data: push });
  event.waitUntil(Promise.all([shown, push.receipt && report(push.receipt, "delivered")]));
});
self.addEventListener("notificationclick", (event) => {
  const { url, receipt } = event.notification.data;
  event.waitUntil(Promise.all([receipt && report(receipt, "clicked"), url && clients.openWindow(url)]));
});
// [end:worker]
