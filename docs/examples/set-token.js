import { getToken } from "./token";

const inbox = document.querySelector("hub-inbox");
if (inbox) inbox.getToken = getToken;
