// Shows the OpenAPI document: each call once, under its service, with the other paths it has.

// The order in which somebody new to it needs them; others follow.
const ORDER = [
  "Inference", "Directory", "Session", "Oidc", "Account", "PersonalKey", "Tenant", "Membership", "User", "ApiKey",
  "Provider", "ProviderHealth", "Model", "ModelPrice", "DefaultModel", "Budget", "Usage", "Audit",
];

function rank(tag) {
  const at = ORDER.indexOf(tag.name.replace(/Service$/, ""));
  return at < 0 ? ORDER.length : at;
}

// "ApiKeyService" in words.
function titled(name) {
  const words = name.replace(/Service$/, "").replace(/([a-z])([A-Z])/g, "$1 $2").toLowerCase().replace("api ", "API ");
  return words[0].toUpperCase() + words.slice(1);
}

// Whom a call answers, as the list at the top has it.
function audienceOf(operation) {
  const access = operation["x-headgate-access"] || {};
  return (access.role || access.audience || "").replace(/^(ROLE|AUDIENCE)_/, "").replaceAll("_", " ").toLowerCase();
}

// The other paths of a call, each of which can be tried in place of the present one.
function alternatives(box, { others, ...present }) {
  const line = make("p", { class: "type" }, "Also ");
  for (const other of others) {
    const button = make("button", { type: "button", class: "other path" }, `${other.verb} ${other.path}`);
    const rest = [present, ...others.filter((one) => one !== other)];
    button.addEventListener("click", () => fill(box, { ...other, others: rest }));
    line.append(button, " ");
  }
  return line;
}

function fill(box, call) {
  const { verb, path, operation, others } = call;
  box.querySelector(".inside")?.remove();
  const content = make("div", { class: "inside" }, prose(operation.description || operation.summary));
  content.append(make("p", {}, make("span", { class: `verb ${verb.toLowerCase()}` }, verb), make("span", { class: "path" }, path)));
  if (others.length) content.append(alternatives(box, call));
  box.rows = (operation.parameters || []).map(resolved).map(parameterRow);
  if (box.rows.length) {
    const head = make("tr", {}, ...["Parameter", "Value", "Meaning"].map((text) => make("th", {}, text)));
    content.append(make("div", { class: "wide" }, make("table", {}, head, ...box.rows.map(({ row }) => row))));
  }
  box.trial = trial(verb, path, operation, box.rows);
  content.append(box.trial.box);
  const schema = operation.requestBody?.content?.["application/json"]?.schema;
  if (schema) content.append(make("h4", {}, "Fields of the body"), inside(schema) || make("p", {}, typeName(schema)));
  content.append(make("h4", {}, "Answers"));
  for (const [status, answer] of Object.entries(operation.responses).filter(([status]) => status.startsWith("2"))) {
    content.append(make("p", {}, make("code", {}, status), " ", resolved(answer).description || ""));
    for (const [type, told] of Object.entries(resolved(answer).content || {})) {
      content.append(make("p", { class: "type" }, type), (told.schema && inside(told.schema)) || "");
    }
  }
  box.append(content);
}

function open(box) {
  if (!box.trial) fill(box, box.call);
  box.open = true;
}

function callBox(call) {
  const { verb, path, operation, others } = call;
  const summary = make("summary", {}, make("span", { class: `verb ${verb.toLowerCase()}` }, verb), make("span", { class: "path" }, path), make("span", { class: "summary" }, operation.summary || ""));
  const box = make("details", { class: "operation", id: operation.operationId }, summary);
  box.call = call;
  box.addEventListener("toggle", () => { if (box.open) open(box); });
  const otherPaths = others.map((other) => `${other.verb} ${other.path}`);
  box.dataset.text = [verb, path, ...otherPaths, operation.operationId, operation.summary].join(" ").toLowerCase();
  box.dataset.audience = audienceOf(operation);
  return box;
}

// Every call once: what is at several paths stands at its first, and names the others.
function callsOf(tag) {
  const calls = new Map();
  for (const [path, verbs] of Object.entries(api.paths)) {
    for (const [name, operation] of Object.entries(verbs)) {
      if (!(operation.tags || []).includes(tag.name)) continue;
      const verb = name.toUpperCase();
      const [, id, nth] = /^(.*?)(?:_(\d+))?$/.exec(operation.operationId);
      const call = calls.get(id) || { others: [] };
      if (nth) call.others.push({ verb, path, operation });
      else Object.assign(call, { verb, path, operation });
      calls.set(id, call);
    }
  }
  return [...calls.values()];
}

function narrow() {
  const wanted = find("search").value.toLowerCase().trim();
  const audience = find("audience").value;
  for (const group of document.querySelectorAll("section.service")) {
    let some = false;
    for (const box of group.querySelectorAll("details.operation")) {
      const shown = box.dataset.text.includes(wanted) && (!audience || box.dataset.audience === audience);
      box.classList.toggle("hidden", !shown);
      box.link.classList.toggle("hidden", !shown);
      some = some || shown;
    }
    group.classList.toggle("hidden", !some);
    group.heading.classList.toggle("hidden", !some);
  }
  find("nothing").classList.toggle("hidden", Boolean(document.querySelector("section.service:not(.hidden)")));
}

function showService(tag) {
  const group = make("section", { class: "service" }, make("h2", {}, titled(tag.name)), prose(tag.description));
  group.heading = make("h3", {}, titled(tag.name));
  find("index").append(group.heading);
  for (const call of callsOf(tag)) {
    const box = callBox(call);
    const link = make("a", { href: `#${box.id}`, title: call.operation.summary }, make("span", { class: `verb ${call.verb.toLowerCase()}` }, call.verb), ` ${call.path}`);
    link.addEventListener("click", () => open(box));
    box.link = link;
    group.append(box);
    find("index").append(link);
  }
  find("services").append(group);
}

function showAudiences() {
  const present = new Set([...document.querySelectorAll("details.operation")].map((box) => box.dataset.audience).filter(Boolean));
  const order = ["public", "consumer", "user", "viewer", "member", "admin", "owner", "super admin"];
  order.filter((audience) => present.has(audience)).forEach((audience) => find("audience").append(make("option", {}, audience)));
}

function show() {
  find("version").textContent = api.info.version;
  find("intro").append(prose(api.info.description));
  find("services").textContent = "";
  const tags = api.tags.map((tag, at) => ({ tag, at })).sort((a, b) => rank(a.tag) - rank(b.tag) || a.at - b.at);
  tags.forEach(({ tag }) => showService(tag));
  showAudiences();
  showLogin();
  showSteps();
  const named = location.hash && document.getElementById(location.hash.slice(1));
  if (named && named.call) { open(named); named.scrollIntoView(); }
}

find("search").addEventListener("input", narrow);
find("audience").addEventListener("change", narrow);
// On a narrow screen the list is folded away until it is wanted.
if (matchMedia("(max-width: 50rem)").matches) find("contents").open = false;

fetch("/openapi.json").then((response) => response.json()).then((document) => { api = document; show(); }).catch((cause) => {
  find("services").textContent = `The document cannot be read: ${cause}`;
});
