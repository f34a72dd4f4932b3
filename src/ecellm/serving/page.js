// What the page does better with a script: copying, dropping a file, and showing that an answer is under way. Without
// it every form works.
"use strict";

for (const block of document.querySelectorAll(".code")) {
  const code = block.querySelector("pre");
  const button = document.createElement("button");
  const title = block.querySelector("h4").textContent;
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.setAttribute("aria-label", `Copy ${title}`);
  const done = document.createElement("span");
  done.className = "hidden";
  done.setAttribute("role", "status");
  button.addEventListener("click", async () => {
    await copy(code);
    button.textContent = "Copied";
    done.textContent = `${title} copied`;
    setTimeout(() => {
      button.textContent = "Copy";
      done.textContent = "";
    }, 2000);
  });
  block.querySelector("h4").after(button, done);
}

async function copy(code) {
  if (navigator.clipboard) return navigator.clipboard.writeText(code.textContent);
  // On an address without TLS, other than this machine's, browsers have no clipboard for pages.
  getSelection().selectAllChildren(code);
  document.execCommand("copy");
  getSelection().removeAllRanges();
}

for (const form of document.querySelectorAll("form")) {
  const button = form.querySelector("button[data-busy]");
  if (!button) continue;
  const label = button.textContent;
  form.addEventListener("submit", () => {
    button.textContent = button.dataset.busy;
    button.setAttribute("aria-disabled", "true");
  });
  // A page that the browser kept comes back as it was left.
  addEventListener("pageshow", () => {
    button.textContent = label;
    button.removeAttribute("aria-disabled");
  });
}

for (const field of document.querySelectorAll("textarea[data-enter-submits]")) {
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    field.form.requestSubmit();
  });
}

// On a phone the tasks are a row that is wider than the screen.
document.querySelector(".tasks [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

const upload = document.querySelector("form.upload");
if (upload) {
  const file = upload.querySelector("input[type=file]");
  const hint = document.createElement("span");
  hint.className = "hint";
  hint.textContent = "or drop a file here";
  upload.querySelector("button").after(hint);
  upload.addEventListener("dragover", (event) => {
    event.preventDefault();
    upload.classList.add("over");
  });
  upload.addEventListener("dragleave", () => upload.classList.remove("over"));
  upload.addEventListener("drop", (event) => {
    event.preventDefault();
    upload.classList.remove("over");
    if (!event.dataTransfer.files.length) return;
    file.files = event.dataTransfer.files;
    upload.requestSubmit();
  });
}
