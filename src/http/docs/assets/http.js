// Shows the OpenAPI document with Swagger UI, and lets the reader call this gateway from it.
"use strict";
(() => {
  const root = document.documentElement.classList;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const look = () => root.toggle("dark-mode", dark.matches);
  dark.addEventListener("change", look);
  look();

  // Swagger UI's own dialog may give a credential too; two are refused.
  const withCredential = request => {
    const names = Object.keys(request.headers).map(name => name.toLowerCase());
    const isGiven = names.includes("authorization") || names.includes("x-api-key");
    if (!isGiven && new URL(request.url, location.href).origin === location.origin) {
      Object.assign(request.headers, window.weirgate.authorization());
    }
    return request;
  };

  async function show() {
    const place = document.getElementById("swagger");
    if (!place || place.childElementCount) return;
    const answer = await fetch("/openapi.json", { headers: window.weirgate.authorization() });
    if (!answer.ok) { place.textContent = "The document cannot be had: " + answer.status; return; }
    const spec = await answer.json();
    spec.servers = [{ url: location.origin }];
    // The registry may lie elsewhere than the document says.
    const moved = ([path, item]) => [path.replace(/^\/registry(?=\/)/, place.dataset.registry), item];
    spec.paths = Object.fromEntries(Object.entries(spec.paths).map(moved));
    SwaggerUIBundle({
      spec, domNode: place, validatorUrl: null, docExpansion: "list", defaultModelsExpandDepth: 0,
      requestInterceptor: withCredential, persistAuthorization: false,
    });
  }
  document.addEventListener("weirgate:page", show);
  show();
})();
