const inbox = document.querySelector("hub-inbox");
if (inbox) {
  inbox.tabs = [
    "ACTIVE",
    { label: "Builds", filter: { categories: ["builds", "deploys"] } },
    { label: "Urgent", filter: { view: "UNREAD", priorities: ["CRITICAL", "HIGH"] } },
    "ARCHIVED",
  ];
}
