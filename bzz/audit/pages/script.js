"use strict";
// The slider of a version page: shows other versions in the place of this one.
(() => {
  const form = document.querySelector("form.slider");
  const slider = form && form.querySelector("input");
  if (!slider || slider.max < 2) return;
  const output = form.querySelector("output");
  const parts = (page) => page.querySelectorAll("[data-swap]");
  let wanted = slider.value, timer = 0, running = null;

  const say = () => { output.value = `${slider.value} of ${slider.max}`; };

  const show = async (version) => {
    if (running) running.abort();
    const own = running = new AbortController();
    const url = `${form.dataset.versions}${version}/`;
    try {
      const answer = await fetch(url, { headers: { Accept: "text/html" }, signal: own.signal });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = parts(page);
      if (!answer.ok || !fresh.length) throw new Error(answer.statusText);
      parts(document).forEach((part, index) => part.replaceWith(fresh[index]));
      document.title = page.title;
      history.replaceState(null, "", url);
      form.dataset.version = version;
    } catch (error) {
      if (error.name !== "AbortError") location.assign(url);
    }
  };

  slider.addEventListener("input", () => {
    say();
    if (slider.value === wanted) return;
    wanted = slider.value;
    clearTimeout(timer);
    timer = setTimeout(show, 80, wanted);
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  slider.value = form.dataset.version;
  form.hidden = false;
})();
