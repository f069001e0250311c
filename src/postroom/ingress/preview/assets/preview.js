"use strict";
// Asks the server for the state of the templates, shows it, and asks again when files change. What is chosen
// stands in the address, so that a reload or a bookmark shows the same.

const POLL_MS = 700;
const TYPING_MS = 250;
const WIDTHS = { phone: 375, desktop: 800 };
const at = (id) => document.getElementById(id);
const chosen = Object.fromEntries(new URLSearchParams(location.search));
let shown = null;
let generation = null;
let compiled = null;
let typing = 0;
let asked = 0;

function made(tag, attributes = {}, ...content) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false && value !== null) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...content);
  return element;
}

function query(more = {}) {
  const all = { ...chosen, ...more };
  return new URLSearchParams(Object.entries(all).filter(([, value]) => value)).toString();
}

function choose(changes) {
  Object.assign(chosen, changes);
  history.replaceState(null, "", "/?" + query());
}

async function refresh() {
  const number = ++asked;
  let state;
  try {
    const answer = await fetch("/api/state?" + query());
    state = await answer.json();
    if (!answer.ok) throw new Error(state.title);
  } catch {
    at("lost").hidden = false;
    return;
  }
  if (number !== asked) return; // a later question is on its way
  at("lost").hidden = true;
  generation = state.generation;
  show(state);
}

async function poll() {
  try {
    const answer = await fetch("/api/generation");
    const now = await answer.json();
    if (now.generation !== generation || now.compiled !== compiled || !at("lost").hidden) {
      compiled = now.compiled;
      await refresh();
    }
  } catch {
    at("lost").hidden = false;
  }
  setTimeout(poll, POLL_MS);
}

function show(state) {
  const current = state.current;
  const isAnother = !shown || !current || shown.name !== current.name || shown.locale !== current.locale;
  shown = current;
  at("place").textContent = state.title;
  showList(state.templates, current);
  for (const part of document.querySelectorAll("main > :not(#lost)")) part.hidden = !current;
  if (!current) {
    at("troubles").hidden = false;
    at("troubles").replaceChildren(trouble("There is no template here.", state.findings.map(told)));
    at("variables").replaceChildren();
    return;
  }
  document.title = current.name + " - Postroom";
  at("name").textContent = current.name;
  at("file").textContent = current.file;
  at("locale").replaceChildren(...current.locales.map((one) => made("option", { value: one }, one || "default")));
  at("locale").value = current.locale;
  at("locale").parentElement.hidden = current.locales.length < 2;
  showSize(current);
  showInbox(current);
  showVariables(current, isAnother);
  showTroubles(current, state.findings);
  showCode(at("source"), current.source, current.findings.filter((one) => one.file === current.file && one.line));
  showCode(at("result"), current.html || current.compiled, []);
  at("text").textContent = current.text;
  showFindings([...current.findings, ...state.findings]);
  showFrames(current);
  showTab();
}

function showList(templates, current) {
  const links = templates.map((one) => {
    const more = one.is_broken ? made("small", { class: "bad" }, "broken") : made("small", {}, one.locales.filter(Boolean).join(" "));
    const isCurrent = current && current.name === one.name;
    const link = made("a", { href: "/?name=" + encodeURIComponent(one.name), "aria-current": isCurrent && "page" }, one.name, more);
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      choose({ name: one.name, locale: "", variables: "" });
      refresh();
    });
    return link;
  });
  at("templates").replaceChildren(...links);
}

function showSize(current) {
  const kilobytes = (current.size / 1024).toFixed(1);
  at("size").textContent = current.is_rendered ? `${kilobytes} of ${current.max_size / 1024} kB` : "";
  at("size").className = current.size > current.max_size ? "bad" : "";
  at("size").title = "Gmail cuts off what is longer";
}

function showInbox(current) {
  const subject = current.subject || (current.is_rendered ? "(the caller gives the subject)" : "");
  const line = made("div", { class: "what" }, made("strong", {}, subject), made("span", {}, current.preheader && " \u2013 " + current.preheader));
  at("inbox").replaceChildren(made("div", { class: "who" }, "Sender"), line, made("time", {}, "09:41"));
}

function told(one) {
  const where = [one.file, one.line, one.column].filter(Boolean).join(":");
  return `${where || one.field}: ${one.cause}. ${one.fix}`;
}

function trouble(title, lines) {
  return made("div", { class: "loud", role: "alert" }, made("strong", {}, title), made("ul", {}, ...lines.map((line) => made("li", {}, line))));
}

function showTroubles(current) {
  const errors = current.findings.filter((one) => one.severity === "error");
  const boxes = [];
  if (errors.length) boxes.push(trouble("This template is broken.", errors.map(told)));
  if (current.problems.length) boxes.push(trouble("A mail with these values would be refused.", current.problems.map(told)));
  at("troubles").replaceChildren(...boxes);
}

function showCode(list, text, findings) {
  const lines = text.replace(/\n$/, "").split("\n");
  list.replaceChildren(...lines.map((line, index) => {
    const here = findings.filter((one) => one.line === index + 1);
    return made("li", here.length ? { class: "bad", title: here.map((one) => one.cause).join("\n") } : {}, line || "\u200b");
  }));
}

function showFindings(findings) {
  at("count").textContent = findings.length ? `(${findings.length})` : "";
  const articles = findings.map((one) => {
    const where = [one.file, one.line, one.column].filter(Boolean).join(":");
    return made("article", { class: one.severity },
      made("p", {}, made("b", {}, one.severity), ": ", one.cause),
      made("p", {}, one.fix),
      made("p", { class: "where" }, made("code", {}, where), " ", one.code));
  });
  at("findings").replaceChildren(...(articles.length ? articles : [made("p", {}, "Nothing to say.")]));
}

function showFrames(current) {
  const scheme = chosen.scheme === "dark" ? "dark" : "light";
  const address = "/frame?" + query({ name: current.name, locale: current.locale, scheme, generation, tab: "", width: "" });
  at("stage").hidden = !current.is_rendered;
  for (const frame of document.querySelectorAll("iframe")) {
    frame.className = scheme;
    if (!current.is_rendered) continue;
    if (frame.getAttribute("src") === null) {
      frame.src = address;
    } else if (frame.dataset.address !== address) {
      frame.contentWindow.location.replace(address); // leaves no trace in the history
    }
    frame.dataset.address = address;
  }
  fit();
}

function fit() {
  const width = chosen.width || "both";
  const figures = [...document.querySelectorAll("figure")];
  for (const figure of figures) figure.hidden = width !== "both" && width !== figure.dataset.width;
  const seen = figures.filter((figure) => !figure.hidden);
  const style = getComputedStyle(at("stage"));
  const gap = parseFloat(style.columnGap) * (seen.length - 1);
  const room = at("stage").clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight) - gap;
  const wanted = seen.reduce((sum, figure) => sum + WIDTHS[figure.dataset.width], 0);
  const scale = Math.min(1, room / wanted);
  if (scale <= 0) return;
  for (const figure of seen) {
    const frame = figure.querySelector("iframe");
    const page = frame.contentDocument;
    frame.style.height = "0"; // or a page that is shorter than its frame would be as high as that
    const height = page && page.body ? Math.max(page.documentElement.scrollHeight, page.body.scrollHeight, 200) : 600;
    frame.style.height = height + "px";
    frame.style.transform = scale < 1 ? `scale(${scale})` : "";
    figure.style.width = WIDTHS[figure.dataset.width] * scale + "px";
    figure.style.height = height * scale + figure.querySelector("figcaption").offsetHeight + "px";
  }
}

function showTab() {
  const tab = chosen.tab || "html";
  for (const button of document.querySelectorAll("[data-tab]")) {
    button.setAttribute("aria-selected", String(button.dataset.tab === tab));
  }
  for (const part of document.querySelectorAll("[data-for]")) part.hidden = part.dataset.for !== tab;
  if (tab === "html" && shown && !shown.is_rendered) {
    at("stage").hidden = true;
    at("source").hidden = shown.findings.every((one) => one.severity !== "error"); // what is wrong is there
  }
  at("look").hidden = tab !== "html";
  at("width").value = chosen.width || "both";
  at("scheme").value = chosen.scheme || "light";
  at("images").checked = chosen.images === "1";
  if (tab === "html") fit();
}

function isText(type) {
  return type === "string" || (Array.isArray(type) && type.includes("string"));
}

function showVariables(current, isAnother) {
  const form = at("variables");
  const wrong = new Set(current.problems.map((one) => one.field.split(".")[1]));
  if (!isAnother && form.childElementCount && form.dataset.names === namesOf(current)) {
    for (const field of form.elements) field.classList.toggle("wrong", wrong.has(field.name));
    return; // somebody may be typing
  }
  form.dataset.names = namesOf(current);
  const fields = current.variables.map((one) => fieldOf(one, current.values[one.name], wrong.has(one.name)));
  const reset = made("button", { type: "button" }, "Examples again");
  reset.addEventListener("click", () => {
    choose({ variables: "" });
    form.replaceChildren();
    refresh();
  });
  const globals = current.globals.map((name) => {
    const description = current.values[name] ? "" : "Empty; [templates.globals] of the settings gives it";
    return fieldOf({ name, type: "string", description, required: false, has_example: true, is_global: true }, current.values[name], false);
  });
  form.replaceChildren(
    ...(fields.length ? [made("h3", {}, "Variables"), ...fields] : []),
    ...(globals.length ? [made("h3", {}, "Globals"), ...globals] : []),
    ...(fields.length + globals.length ? [made("p", {}, reset)] : []));
}

function namesOf(current) {
  return JSON.stringify([current.globals, ...current.variables.map((one) => [one.name, one.type])]);
}

function fieldOf(one, value, isWrong) {
  const type = one.type;
  let field;
  if (type === "boolean") {
    field = made("input", { type: "checkbox", name: one.name });
    field.checked = value === true;
  } else if (type === "number" || type === "integer") {
    field = made("input", { type: "number", step: type === "integer" ? "1" : "any", name: one.name });
    field.value = value ?? "";
  } else if (isText(type)) {
    const text = String(value ?? "");
    field = text.length > 60 || text.includes("\n") ? made("textarea", { name: one.name, rows: 4 }) : made("input", { name: one.name });
    field.value = text;
  } else {
    const text = value === undefined ? "" : JSON.stringify(value, null, 1);
    field = made("textarea", { name: one.name, rows: Math.min(10, text.split("\n").length + 1) });
    field.value = text;
    field.dataset.json = "1";
  }
  field.dataset.kind = Array.isArray(type) ? type.join(" ") : type;
  field.dataset.was = typeof value;
  if (!one.required) field.dataset.optional = "1";
  field.classList.toggle("wrong", isWrong);
  const notes = [one.description, one.required || one.is_global ? "" : "May be left out", one.has_example ? "" : "Has no example"];
  const note = notes.filter(Boolean).map((text) => text.replace(/\.$/, "") + ".").join(" ");
  const label = made("label", {}, one.name, ...(type === "boolean" ? [" ", field] : [field]));
  if (note) label.append(made("small", {}, note));
  return label;
}

function valueOf(field) {
  if (field.type === "checkbox") return field.checked;
  if (field.value === "" && (field.dataset.optional || !isText(field.dataset.kind.split(" ")))) return undefined;
  if (field.type === "number") return Number(field.value);
  if (field.dataset.was === "number" && /^-?\d+(\.\d+)?$/.test(field.value)) return Number(field.value);
  if (!field.dataset.json) return field.value;
  try {
    return JSON.parse(field.value);
  } catch {
    field.classList.add("wrong");
    return undefined;
  }
}

at("variables").addEventListener("submit", (event) => event.preventDefault());
at("variables").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => {
    const fields = [...at("variables").elements].filter((field) => field.name);
    choose({ variables: JSON.stringify(Object.fromEntries(fields.map((field) => [field.name, valueOf(field)]))) });
    refresh();
  }, TYPING_MS);
});
at("locale").addEventListener("change", (event) => { choose({ locale: event.target.value, variables: "" }); refresh(); });
at("width").addEventListener("change", (event) => { choose({ width: event.target.value }); showTab(); });
at("scheme").addEventListener("change", (event) => { choose({ scheme: event.target.value }); showFrames(shown); });
at("images").addEventListener("change", (event) => { choose({ images: event.target.checked ? "1" : "" }); showFrames(shown); });
at("tabs").addEventListener("click", (event) => {
  const button = event.target.closest("[data-tab]");
  if (button) { choose({ tab: button.dataset.tab }); showTab(); }
});
for (const frame of document.querySelectorAll("iframe")) frame.addEventListener("load", fit);
addEventListener("resize", fit);
refresh().then(() => setTimeout(poll, POLL_MS));
