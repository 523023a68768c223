const preferences = document.querySelector("hub-preferences");
preferences?.addEventListener("hub-add-address", (event) => {
  if (event.detail.channel !== "EMAIL") return;
  event.preventDefault();
  location.assign("/account/email"); // a page of your app
});
