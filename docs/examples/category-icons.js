const bell = document.querySelector("hub-inbox");
if (bell) bell.categoryIcons = { builds: "/icons/hammer.svg", billing: "/icons/invoice.svg" };
