// What is filled in is sent, with the credential that the operation takes.

function parameterRow(parameter) {
  const schema = resolved(parameter.schema);
  const list = schema.type === "array";
  let input;
  const values = schema.enum || (schema.type === "boolean" ? ["true", "false"] : null);
  if (values) input = make("select", {}, make("option", { value: "" }, ""), ...values.map((value) => make("option", {}, value)));
  else input = make("input", { placeholder: list ? "several with commas between them" : "" });
  input.setAttribute("aria-label", parameter.name);
  const name = make("td", {}, make("code", {}, parameter.name), parameter.required ? make("span", { class: "type" }, " required") : "");
  const meaning = make("td", {}, prose(parameter.description), make("span", { class: "type" }, `${typeName(parameter.schema)}, in the ${parameter.in}`));
  return { row: make("tr", {}, name, make("td", {}, input), meaning), parameter, input, list };
}

function address(path, rows) {
  const query = new URLSearchParams();
  const headers = {};
  let url = path;
  for (const { parameter, list, input } of rows) {
    const text = input.value;
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

// The field that holds the credential an operation takes; none for what anyone may.
function credentialOf(operation) {
  const schemes = (operation.security || []).flatMap(Object.keys);
  if (schemes.includes("api_key")) return { input: find("key"), variable: "KEY", name: "an API key" };
  if (schemes.includes("token")) return { input: find("token"), variable: "TOKEN", name: "a token, or a login" };
  return null;
}

function asCommand(verb, url, headers, variable, body) {
  const parts = [`curl -X ${verb} '${location.origin}${url}'`];
  if (variable) parts.push(`-H "authorization: Bearer $${variable}"`);
  for (const [name, value] of Object.entries(headers)) {
    if (name !== "authorization") parts.push(`-H '${name}: ${value}'`);
  }
  if (body !== undefined) parts.push(`-d '${body.replaceAll("'", "'\\''")}'`);
  return parts.join(" \\\n  ");
}

async function sent(verb, url, headers, body) {
  const response = await fetch(url, { method: verb, headers, body });
  const text = await response.text();
  let json = null;
  try { json = JSON.parse(text); } catch { /* it is no JSON */ }
  const shown = json ? JSON.stringify(json, null, 2) : text;
  const id = response.headers.get("x-request-id");
  return { ok: response.ok, json, shown: `${response.status} ${response.statusText}\nx-request-id: ${id}\n\n${shown}` };
}

// As high as what is in it, within reason.
function fitted(area) {
  area.rows = Math.min(24, Math.max(3, area.value.split("\n").length));
}

function trial(verb, path, operation, rows) {
  const box = make("div", { class: "trial" });
  const schema = operation.requestBody?.content?.["application/json"]?.schema;
  const body = schema && make("textarea", { "aria-label": "body", spellcheck: "false" });
  if (body) {
    // What is changed in part is left alone where nothing is said.
    body.value = JSON.stringify(verb === "PATCH" ? {} : example(schema), null, 2);
    fitted(body);
    body.addEventListener("input", () => fitted(body));
    box.append(make("h4", {}, "Body"), body);
  }
  const button = make("button", { type: "button", class: "send" }, "Send");
  const hint = make("span", { class: "hint", role: "status" });
  const next = make("p", { class: "hidden" });
  const command = make("pre");
  const asTyped = make("details", { class: "hidden" }, make("summary", {}, "The same with curl"), command);
  const answer = make("pre", { class: "answer hidden", "aria-live": "polite" });
  button.addEventListener("click", async () => {
    const missing = rows.filter(({ parameter, input }) => parameter.required && input.value === "");
    hint.textContent = missing.length ? `Fill in ${missing.map(({ parameter }) => parameter.name).join(", ")}.` : "";
    if (missing.length) return missing[0].input.focus();
    const { url, headers } = address(path, rows);
    const credential = credentialOf(operation);
    if (credential && credential.input.value) headers.authorization = `Bearer ${credential.input.value.trim()}`;
    else if (credential) hint.textContent = `It takes ${credential.name}, at the top of the page.`;
    if (body) headers["content-type"] = "application/json";
    command.textContent = asCommand(verb, url, headers, credential && credential.variable, body && body.value);
    answer.textContent = "…";
    asTyped.className = "";
    answer.className = "answer";
    next.className = "hidden";
    try {
      const told = await sent(verb, url, headers, body && body.value);
      answer.textContent = told.shown;
      answer.classList.add(told.ok ? "good" : "bad");
      if (told.ok) learn(operation.operationId, told.json, next);
    } catch (cause) {
      answer.textContent = String(cause);
      answer.classList.add("bad");
    }
  });
  box.append(make("p", {}, button, hint), answer, next, asTyped);
  return { box, body, button };
}
