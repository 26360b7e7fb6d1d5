// Everything works without this. It copies what is shown once, and keeps live numbers live.
"use strict";

for (const button of document.querySelectorAll("[data-copy]")) {
  const field = document.getElementById(button.dataset.copy);
  const said = document.getElementById(button.dataset.said);
  button.hidden = false;
  field.addEventListener("focus", () => field.select());
  button.addEventListener("click", async () => {
    field.select();
    try {
      await navigator.clipboard.writeText(field.value);
      said.textContent = "Copied.";
    } catch {
      // Without https a browser has no clipboard to offer: what is selected can be copied by hand.
      said.textContent = "Selected: press Ctrl+C (⌘C on a Mac) to copy it.";
    }
  });
}

// What was shown once is not asked for again by reloading: that would make another.
const once = document.querySelector("[data-after]");
if (once) history.replaceState(null, "", once.dataset.after);

const live = [...document.querySelectorAll("[data-live]")];
if (live.length) {
  const refresh = async () => {
    if (document.hidden || live.some((each) => each.contains(document.activeElement))) return;
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" } });
      if (!answer.ok || answer.redirected) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      // All from one answer, so that they say the same.
      for (const each of live) {
        const fresh = page.getElementById(each.id);
        if (fresh) each.replaceChildren(...fresh.childNodes);
      }
    } catch {
      // The page says when its numbers are of.
    }
  };
  setInterval(refresh, Number(live[0].dataset.live) * 1000);
}

const failure = document.getElementById("failure");
if (failure) failure.focus();
