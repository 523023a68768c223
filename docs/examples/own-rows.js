const list = document.querySelector("hub-inbox-list");
if (list)
  list.renderItem = (notification) => {
    const row = document.createElement("p");
    row.className = "invoice";
    row.textContent = notification.title;
    return row;
  };
