import { provideHub } from "@notification-hub/vue";
import { createApp, createSSRApp, defineComponent, h } from "vue";
import App from "./examples/vue/App.vue";
import InboxPage from "./examples/vue/InboxPage.vue";
import { getToken } from "./examples/token";

const Page = defineComponent(() => {
  provideHub({ endpoint: "/graphql", getToken });
  return () => h(InboxPage);
});

createSSRApp(App, { navigate: (path: string) => history.pushState(null, "", path) }).mount("#app");
createApp(Page).mount("#list");
