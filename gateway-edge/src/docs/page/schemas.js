"use strict";
// What the page is made of, and how schemas are shown. Text is only ever set as text.

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
