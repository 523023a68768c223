// Renders the app into the page that Vite built, as Nuxt does when it generates static pages.
import { readFileSync, writeFileSync } from "node:fs";
import { createSSRApp } from "vue";
import { renderToString } from "vue/server-renderer";
import App from "./examples/vue/App.vue";

const page = readFileSync("dist/vue.html", "utf8");
const html = await renderToString(createSSRApp(App, { navigate: () => {} }));
writeFileSync("dist/vue.html", page.replace("<!--app-->", html));
