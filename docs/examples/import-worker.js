importScripts("https://hub.example.org/sw.js");
