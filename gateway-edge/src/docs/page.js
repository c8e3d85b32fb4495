"use strict";
// Shows the OpenAPI document, and sends what is filled in. Text is only ever set as text.

const find = (id) => document.getElementById(id);

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") element.className = value;
    else if (value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== undefined && child !== null));
  return element;
}

// Text with `code` in it, paragraphs apart.
function prose(text) {
  const box = make("div");
  for (const paragraph of (text || "").split("\n\n").filter(Boolean)) {
    const line = make("p");
    paragraph.split(/(`[^`]*`|\n)/).forEach((part) => {
      if (part === "\n") line.append(make("br"));
      else line.append(part.startsWith("`") && part.endsWith("`") && part.length > 1 ? make("code", {}, part.slice(1, -1)) : part);
    });
    box.append(line);
  }
  return box;
}

let api;

function resolved(node) {
  let at = node;
  while (at && at.$ref) {
    const target = at.$ref.slice(2).split("/").reduce((inside, key) => inside[key], api);
    at = at.description ? { ...target, description: at.description } : target;
  }
  return at || {};
}

function typeName(schema) {
  const own = resolved(schema);
  if (own.enum) return own.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (own.const !== undefined) return JSON.stringify(own.const);
  if (own.type === "array") return "list of " + typeName(own.items || {});
  if (own.anyOf) return own.anyOf.map(typeName).join(" or ");
  const type = [].concat(own.type || "any").join(" or ");
  return own.format ? `${type} (${own.format})` : type;
}

// What is inside a schema, opened on demand: schemas may contain themselves.
function inside(schema) {
  const own = resolved(schema);
  if (own.type === "array") return inside(own.items || {});
  if (own.additionalProperties && typeof own.additionalProperties === "object") return inside(own.additionalProperties);
  if (!own.properties || !Object.keys(own.properties).length) return null;
  const box = make("div", { class: "fields" });
  for (const [name, field] of Object.entries(own.properties)) {
    const required = (own.required || []).includes(name) ? ", required" : "";
    const row = make("div", { class: "field" }, make("code", {}, name), " ", make("span", { class: "type" }, typeName(field) + required));
    const text = resolved(field).description;
    if (text) row.append(prose(text));
    const innermost = resolved(field).type === "array" ? resolved(field).items : field;
    const target = resolved(innermost);
    if (target.properties || (target.additionalProperties && typeof target.additionalProperties === "object")) {
      const more = make("details", {}, make("summary", {}, "fields"));
      more.addEventListener("toggle", () => {
        if (more.open && more.children.length === 1) more.append(inside(innermost) || "none");
      });
      row.append(more);
    }
    box.append(row);
  }
  return box;
}

// A body to begin with.
function example(schema, depth = 0) {
  const own = resolved(schema);
  if (own.enum) return own.enum[Math.min(1, own.enum.length - 1)];
  if (own.anyOf) return example(own.anyOf[0], depth);
  switch ([].concat(own.type)[0]) {
    case "array": {
      const items = resolved(own.items || {});
      return depth > 3 || (items.type === "string" && !items.enum) ? [] : [example(items, depth + 1)];
    }
    case "boolean": return true;
    case "integer": case "number": return Math.max(1, own.minimum || 0);
    case "object": {
      if (depth > 3) return {};
      const fields = Object.entries(own.properties || {}).filter(([, field]) => !resolved(field).readOnly);
      return Object.fromEntries(fields.map(([name, field]) => [name, example(field, depth + 1)]));
    }
    default:
      if (own.format === "date-time") return new Date().toISOString();
      return /^\^-\?\[0-9\]|^\^\[0-9\]/.test(own.pattern || "") ? "1" : "";
  }
}

function parameterRow(parameter) {
  const schema = resolved(parameter.schema);
  const list = schema.type === "array";
  let input;
  const values = schema.enum || (schema.type === "boolean" ? ["true", "false"] : null);
  if (values) input = make("select", {}, make("option", { value: "" }, ""), ...values.map((value) => make("option", {}, value)));
  else input = make("input", { placeholder: list ? "several with commas between them" : "" });
  input.setAttribute("aria-label", parameter.name);
  const where = parameter.required ? `${parameter.in}, required` : parameter.in;
  const row = make("tr", {}, make("td", {}, make("code", {}, parameter.name)), make("td", { class: "type" }, `${typeName(parameter.schema)} (${where})`), make("td", {}, prose(parameter.description)), make("td", {}, input));
  return { row, value: () => ({ parameter, list, text: input.value }) };
}

function address(path, values) {
  const query = new URLSearchParams();
  const headers = {};
  let url = path;
  for (const { parameter, list, text } of values) {
    if (parameter.in === "path") {
      url = url.replace(`{${parameter.name}}`, text.split("/").map(encodeURIComponent).join("/"));
    } else if (text !== "" && parameter.in === "header") {
      headers[parameter.name] = text;
    } else if (text !== "") {
      (list ? text.split(",") : [text]).forEach((one) => query.append(parameter.name, one));
    }
  }
  const rest = query.toString();
  return { url: rest ? `${url}?${rest}` : url, headers };
}

function trial(verb, path, operation, rows) {
  const box = make("div");
  const schema = operation.requestBody?.content?.["application/json"]?.schema;
  const body = schema && make("textarea", { rows: 10, "aria-label": "body", spellcheck: "false" });
  if (body) {
    // What is changed in part is left alone where nothing is said.
    body.value = JSON.stringify(verb === "PATCH" ? {} : example(schema), null, 2);
    box.append(make("h4", {}, "Body"), body);
  }
  const button = make("button", { type: "button" }, "Send");
  const command = make("pre", { class: "hidden" });
  const answer = make("pre", { class: "hidden" });
  button.addEventListener("click", async () => {
    const { url, headers } = address(path, rows.map((row) => row.value()));
    const token = find("token").value;
    if (token) headers.authorization = `Bearer ${token}`;
    if (body) headers["content-type"] = "application/json";
    const data = body ? ` \\\n  -d '${body.value.replaceAll("'", "'\\''")}'` : "";
    command.textContent = `curl -X ${verb} '${location.origin}${url}'${token ? " \\\n  -H \"authorization: Bearer $TOKEN\"" : ""}${body ? " \\\n  -H 'content-type: application/json'" : ""}${data}`;
    answer.textContent = "…";
    command.className = answer.className = "";
    try {
      const response = await fetch(url, { method: verb, headers, body: body ? body.value : undefined });
      const text = await response.text();
      let shown = text;
      try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* it is no JSON */ }
      answer.textContent = `${response.status} ${response.statusText}\nx-request-id: ${response.headers.get("x-request-id")}\n\n${shown}`;
    } catch (cause) {
      answer.textContent = String(cause);
    }
  });
  box.append(make("p", {}, button), command, answer);
  return box;
}

function fill(box, verb, path, operation) {
  box.append(prose(operation.description || operation.summary));
  const access = operation["x-headgate-access"];
  if (access) box.append(make("p", { class: "type" }, `For ${[access.audience, access.role].filter(Boolean).join(", ")}`));
  const rows = (operation.parameters || []).map(resolved).map(parameterRow);
  if (rows.length) {
    const head = make("tr", {}, ...["Parameter", "Type", "Meaning", "Value"].map((text) => make("th", {}, text)));
    box.append(make("table", {}, head, ...rows.map(({ row }) => row)));
  }
  const schema = operation.requestBody?.content?.["application/json"]?.schema;
  if (schema) box.append(make("h4", {}, "Fields of the body"), inside(schema) || make("p", {}, typeName(schema)));
  box.append(make("h4", {}, "Answers"));
  for (const [status, answer] of Object.entries(operation.responses).filter(([status]) => status.startsWith("2"))) {
    box.append(make("p", {}, make("code", {}, status), " ", resolved(answer).description || ""));
    for (const [type, content] of Object.entries(resolved(answer).content || {})) {
      box.append(make("p", { class: "type" }, type), (content.schema && inside(content.schema)) || "");
    }
  }
  box.append(make("h4", {}, "Try it"), trial(verb, path, operation, rows));
}

function operationBox(verb, path, operation) {
  const summary = make("summary", {}, make("span", { class: "verb" }, verb), make("span", { class: "path" }, path), make("span", { class: "summary" }, operation.summary || ""));
  const box = make("details", { class: "operation", id: operation.operationId }, summary);
  box.addEventListener("toggle", () => {
    if (box.open && box.children.length === 1) {
      const content = make("div", { class: "inside" });
      fill(content, verb, path, operation);
      box.append(content);
    }
  });
  box.dataset.text = `${verb} ${path} ${operation.operationId} ${operation.summary}`.toLowerCase();
  return box;
}

function show() {
  find("version").textContent = api.info.version;
  find("intro").append(prose(api.info.description));
  const services = find("services");
  services.textContent = "";
  for (const tag of api.tags) {
    const title = make("h2", {}, tag.name);
    const heading = make("h3", {}, tag.name);
    services.append(title, prose(tag.description));
    find("index").append(heading);
    for (const [path, verbs] of Object.entries(api.paths)) {
      for (const [verb, operation] of Object.entries(verbs)) {
        if (!(operation.tags || []).includes(tag.name)) continue;
        const box = operationBox(verb.toUpperCase(), path, operation);
        const link = make("a", { href: `#${operation.operationId}`, title: path }, `${verb.toUpperCase()} ${path}`);
        link.addEventListener("click", () => { box.open = true; });
        box.link = link;
        services.append(box);
        find("index").append(link);
      }
    }
  }
  const named = location.hash && document.getElementById(location.hash.slice(1));
  if (named) { named.open = true; named.scrollIntoView(); }
}

find("search").addEventListener("input", (event) => {
  const wanted = event.target.value.toLowerCase();
  for (const box of document.querySelectorAll("details.operation")) {
    const hidden = !box.dataset.text.includes(wanted);
    box.classList.toggle("hidden", hidden);
    box.link.classList.toggle("hidden", hidden);
  }
});

fetch("/openapi.json").then((response) => response.json()).then((document) => { api = document; show(); }).catch((cause) => {
  find("services").textContent = `The document cannot be read: ${cause}`;
});
