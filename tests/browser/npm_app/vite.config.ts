import vue from "@vitejs/plugin-vue";
import { defineConfig } from "vite";

export default defineConfig(({ isSsrBuild }) => ({
  base: "/vite/",
  logLevel: "warn",
  plugins: [vue()],
  build: { minify: false, rolldownOptions: isSsrBuild ? {} : { input: ["react.html", "vue.html"] } },
}));
