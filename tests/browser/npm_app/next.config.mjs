export default {
  output: "export",
  basePath: "/next",
  typescript: { ignoreBuildErrors: true }, // `npm run types` checks the same files
  turbopack: { root: import.meta.dirname },
};
