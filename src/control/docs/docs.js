// Shows /openapi.json. Builds every node itself: no text ever becomes markup.
"use strict";

const METHODS = ["get", "post", "put", "patch", "delete", "options", "head"];

function node(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {})) made.setAttribute(key, value);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// Text with `code` in it.
function prose(text) {
  const made = node("span");
  String(text ?? "").split("`").forEach((part, at) => {
    made.append(at % 2 ? node("code", {}, part) : part);
  });
  return made;
}

function resolve(api, schema) {
  if (!schema?.$ref) return schema ?? {};
  return schema.$ref.split("/").slice(1).reduce((found, key) => found?.[key], api) ?? {};
}

// The schema behind "this or null".
function bare(api, schema) {
  const found = resolve(api, schema);
  const others = (found.oneOf ?? found.anyOf ?? []).filter((one) => one.type !== "null");
  return others.length === 1 ? resolve(api, others[0]) : found;
}

function kind(api, schema) {
  const found = bare(api, schema);
  const kinds = [found.type ?? "any"].flat().filter((one) => one !== "null");
  if (kinds[0] === "array") return `list of ${kind(api, found.items ?? {})}`;
  const title = found.title ?? schema?.$ref?.split("/").pop();
  return kinds[0] === "object" && title ? title : kinds.join(" or ");
}

function bounds(schema) {
  const words = [];
  if (schema.minLength !== undefined) words.push(`from ${schema.minLength}`);
  if (schema.maxLength !== undefined) words.push(`to ${schema.maxLength} characters`);
  if (schema.minimum !== undefined) words.push(`from ${schema.minimum}`);
  if (schema.maximum !== undefined) words.push(`to ${schema.maximum}`);
  if (schema.format) words.push(schema.format);
  return words.join(" ");
}

function fields(api, schema) {
  const found = bare(api, schema);
  const properties = Object.entries(found.properties ?? {});
  if (properties.length === 0) return node("p", { class: "dim" }, kind(api, schema));
  const rows = properties.map(([name, one]) => {
    const is = resolve(api, one);
    const must = (found.required ?? []).includes(name) ? "" : " (may be left out, or null)";
    return node("tr", {},
      node("td", {}, node("code", {}, name)),
      node("td", {}, kind(api, one)),
      node("td", {}, prose(one.description ?? is.description ?? ""), " ",
        node("span", { class: "dim" }, bounds(is) + must)));
  });
  return node("table", {}, node("tbody", {}, ...rows));
}

function contents(api, holder) {
  return Object.entries(holder?.content ?? {}).map(([type, one]) =>
    node("div", {}, node("p", { class: "dim" }, type), fields(api, one.schema)));
}

function example(api, schema) {
  const found = bare(api, schema);
  const made = {};
  for (const [name, one] of Object.entries(found.properties ?? {})) {
    if (!(found.required ?? []).includes(name)) continue;
    const type = [resolve(api, one).type].flat()[0];
    made[name] = type === "array" ? [] : type === "integer" ? 0 : type === "boolean" ? true : "…";
  }
  return made;
}

function command(api, path, method, route) {
  const lines = [`curl -X ${method.toUpperCase()} ${location.origin}${path}`];
  const isOpen = !route.security || route.security.some((one) => Object.keys(one).length === 0);
  if (!isOpen) lines.push("-H 'Authorization: Bearer …'");
  const json = route.requestBody?.content?.["application/json"];
  if (json) {
    const body = JSON.stringify(example(api, json.schema));
    lines.push("-H 'Content-Type: application/json'", `-d '${body}'`);
  }
  return node("pre", {}, lines.join(" \\\n  "));
}

function parameters(api, route) {
  const rows = (route.parameters ?? []).map((one) =>
    node("tr", {},
      node("td", {}, node("code", {}, one.name)),
      node("td", {}, one.in),
      node("td", {}, prose(one.description), " ",
        node("span", { class: "dim" }, bounds(resolve(api, one.schema))))));
  if (rows.length === 0) return null;
  return node("div", {}, node("h4", {}, "Parameters"), node("table", {}, node("tbody", {}, ...rows)));
}

function show(api, path, method, route) {
  const answers = Object.entries(route.responses ?? {}).map(([status, one]) =>
    node("div", {}, node("h4", {}, status, " ", prose(one.description)), ...contents(api, one)));
  const asked = contents(api, route.requestBody);
  const text = [route.summary, route.description].filter(Boolean).join("\n");
  return node("details", { id: `${method}-${path}` },
    node("summary", {},
      node("span", { class: "method" }, method.toUpperCase()),
      node("code", {}, path),
      node("span", { class: "what" }, prose(route.summary))),
    node("div", { class: "body" },
      node("p", {}, prose(text)),
      command(api, path, method, route),
      parameters(api, route),
      asked.length ? node("h4", {}, "Body") : null, ...asked,
      ...answers));
}

function showAll(api) {
  document.getElementById("title").textContent = `${api.info.title} ${api.info.version}`;
  document.getElementById("about").replaceChildren(prose(api.info.description));
  const groups = new Map((api.tags ?? []).map((tag) => [tag.name, { tag, routes: [] }]));
  for (const [path, item] of Object.entries(api.paths)) {
    for (const method of METHODS.filter((one) => item[one])) {
      const name = item[method].tags?.[0] ?? "others";
      if (!groups.has(name)) groups.set(name, { tag: { name }, routes: [] });
      groups.get(name).routes.push(show(api, path, method, item[method]));
    }
  }
  const sections = [...groups.values()].filter((group) => group.routes.length).map((group) =>
    node("section", {},
      node("h2", {}, group.tag.name),
      node("p", {}, prose(group.tag.description)),
      ...group.routes));
  document.getElementById("routes").replaceChildren(...sections);
}

fetch("/openapi.json")
  .then((answer) => answer.json())
  .then(showAll)
  .catch((error) => {
    document.getElementById("routes").textContent = `The description could not be read: ${error.message}`;
  });
