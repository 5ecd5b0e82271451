// Shows /openapi.json. Everything is put in as text, never as HTML.
"use strict";

const element = (tag, properties = {}, ...children) => {
  const e = Object.assign(document.createElement(tag), properties);
  e.append(...children);
  return e;
};

const resolve = (api, schema) => {
  if (!schema || !schema.$ref) return schema || {};
  return api.components.schemas[schema.$ref.split("/").pop()] || {};
};

const typeOf = (api, schema) => {
  const s = resolve(api, schema);
  const type = Array.isArray(s.type) ? s.type.filter((t) => t !== "null").join(" or ") : s.type;
  if (type === "array") return "list of " + typeOf(api, s.items);
  if (s.enum) return s.enum.join(" | ");
  return (type || "any") + (s.format ? " (" + s.format + ")" : "");
};

// rows lists the members of a schema, those of objects within it indented by their path.
const rows = (api, schema, prefix = "", depth = 0) => {
  const s = resolve(api, schema);
  if (depth > 4) return [];
  if (s.type === "array" || (Array.isArray(s.type) && s.type.includes("array"))) {
    return rows(api, s.items, prefix + "[]", depth + 1);
  }
  return Object.entries(s.properties || {}).flatMap(([name, member]) => {
    const path = (prefix ? prefix + "." : "") + name;
    const required = (s.required || []).includes(name) ? "required" : "";
    const text = member.description || resolve(api, member).description || "";
    return [[path, typeOf(api, member), required, text], ...rows(api, member, path, depth + 1)];
  });
};

const table = (headings, lines) =>
  element("table", {},
    element("thead", {}, element("tr", {}, ...headings.map((h) => element("th", {}, h)))),
    element("tbody", {}, ...lines.map((line) =>
      element("tr", {}, ...line.map((cell, i) => element("td", {}, i === 0 ? element("code", {}, cell) : cell))))));

const content = (c) => Object.entries(c || {})[0] || [];

const show = (api, path, method, op) => {
  const inside = element("div");
  if (op.description) inside.append(element("p", {}, op.description));
  if (op.parameters && op.parameters.length) {
    inside.append(element("h4", {}, "Parameters"), table(["name", "in", "type", ""],
      op.parameters.map((p) => [p.name, p.in, typeOf(api, p.schema), p.description || ""])));
  }
  const [kind, media] = content(op.requestBody && op.requestBody.content);
  if (media) {
    inside.append(element("h4", {}, "Body, " + kind), table(["member", "type", "", ""], rows(api, media.schema)));
  }
  for (const [status, response] of Object.entries(op.responses || {})) {
    const [, answer] = content(response.content);
    inside.append(element("h4", {}, status + " " + (response.description || "")));
    if (answer && status < "300") inside.append(table(["member", "type", "", ""], rows(api, answer.schema)));
  }
  return element("details", { id: op.operationId },
    element("summary", {},
      element("span", { className: "method" }, method.toUpperCase()),
      element("span", { className: "path" }, path),
      element("span", { className: "words" }, op.summary || "")),
    inside);
};

const render = (api) => {
  const main = document.getElementById("operations");
  main.replaceChildren();
  for (const tag of api.tags || []) {
    const section = element("section", {}, element("h2", {}, tag.name), element("p", {}, tag.description || ""));
    for (const [path, item] of Object.entries(api.paths)) {
      for (const method of ["get", "post", "delete"]) {
        const op = item[method];
        if (op && (op.tags || []).includes(tag.name)) section.append(show(api, path, method, op));
      }
    }
    main.append(section);
  }
  const errors = api.components.schemas.Problem;
  if (errors) {
    main.append(element("section", {}, element("h2", {}, "Errors"),
      element("p", {}, "Every refusal is application/problem+json:"),
      table(["member", "type", "", ""], rows(api, errors))));
  }
  document.getElementById("filter").addEventListener("input", (e) => {
    const wanted = e.target.value.toLowerCase();
    for (const d of main.querySelectorAll("details")) {
      d.hidden = !d.textContent.toLowerCase().includes(wanted);
    }
  });
  if (location.hash) document.getElementById(location.hash.slice(1))?.setAttribute("open", "");
};

fetch("/openapi.json")
  .then((r) => (r.ok ? r.json() : Promise.reject(new Error("status " + r.status))))
  .then(render)
  .catch((e) => document.getElementById("operations").replaceChildren(
    element("p", { className: "failed" }, "The description could not be loaded: " + e.message)));
