import "../../../frontend-demo/packages/inbox/src/elements";
