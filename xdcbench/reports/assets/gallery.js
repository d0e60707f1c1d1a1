"use strict";
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const clusters = all(".cluster");
  const shown = () => all(".cluster:not([hidden])");
  const tiles = (cluster) => all("button.tile", cluster);
  const motion = document.getElementById("motion");

  // Videos exist only while they can be seen, so that many clusters cost no more than few.
  const reduced = matchMedia("(prefers-reduced-motion: reduce)");
  const near = new Set();
  const moving = () => motion.getAttribute("aria-pressed") === "true";
  const project = (tile) => {
    if (tile.querySelector("video")) return;
    const video = Object.assign(document.createElement("video"), { muted: true, loop: true, playsInline: true, preload: "none" });
    video.setAttribute("aria-hidden", "true");
    video.src = tile.dataset.video;
    video.addEventListener("play", () => { if (!tile.dataset.audio) tile.setAttribute("aria-pressed", "true"); });
    video.addEventListener("pause", () => { if (!tile.dataset.audio) tile.setAttribute("aria-pressed", "false"); });
    tile.querySelector(".picture").append(video);
  };
  const roll = (tile) => { project(tile); tile.querySelector("video").play().catch(() => { /* taken away meanwhile */ }); };
  const cut = (tile) => {
    const video = tile.querySelector("video");
    if (!video) return;
    video.pause(); video.removeAttribute("src"); video.load(); video.remove();
    if (!tile.dataset.audio) tile.setAttribute("aria-pressed", "false");
  };
  const watch = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) { near.add(target); if (moving()) roll(target); } else { near.delete(target); cut(target); }
    }
  });
  all("[data-video]").forEach((tile) => watch.observe(tile));
  const setMotion = (on) => {
    motion.setAttribute("aria-pressed", String(on));
    near.forEach((tile) => { if (on) roll(tile); else tile.querySelector("video")?.pause(); });
  };
  if (reduced.matches) setMotion(false);
  motion.addEventListener("click", () => setMotion(!moving()));
  if (!document.querySelector("[data-video]")) motion.hidden = true;

  // One voice: audio that begins ends the one before.
  const voice = new Audio();
  let speaker = null;
  const hush = () => {
    voice.pause();
    if (speaker) {
      speaker.setAttribute("aria-pressed", "false");
      speaker.style.removeProperty("--played");
      if (!moving()) speaker.querySelector("video")?.pause();
    }
    speaker = null;
  };
  const say = (tile) => {
    if (speaker === tile) { hush(); return; }
    hush();
    speaker = tile;
    voice.src = tile.dataset.audio;
    tile.setAttribute("aria-pressed", "true");
    if (tile.dataset.video) { roll(tile); tile.querySelector("video").currentTime = 0; }
    voice.play().catch(() => { if (speaker === tile) hush(); });
    requestAnimationFrame(follow);
  };
  const follow = () => {
    if (!speaker) return;
    speaker.style.setProperty("--played", String(voice.duration ? voice.currentTime / voice.duration : 0));
    requestAnimationFrame(follow);
  };
  voice.addEventListener("ended", hush);
  const play = (tile) => {
    if (tile.dataset.audio) { say(tile); return; }
    const video = tile.querySelector("video");
    if (video && !video.paused) video.pause(); else if (tile.dataset.video) roll(tile);
  };
  document.addEventListener("click", (event) => {
    const tile = event.target.closest("button.tile");
    if (tile) play(tile);
  });

  // Large: one item in a dialog, with both of its media; the arrows go to the next one of its cluster.
  const large = document.getElementById("large");
  const place = large.querySelector("[data-media]");
  let opened = null;
  const make = (name, given) => Object.assign(document.createElement(name), given);
  const enlarge = (card) => {
    const tile = card.querySelector(".tile");
    hush();
    opened = card;
    document.getElementById("large-title").textContent = card.querySelector(".label").textContent;
    large.querySelector("[data-item]").textContent = card.dataset.item;
    const { video, audio } = tile.dataset;
    const [image, spectrogram] = [".image", ".spectrogram"].map((one) => tile.querySelector(one));
    const moves = video && make("video", { src: video, loop: true, muted: true, playsInline: true, controls: true });
    place.replaceChildren(...[
      moves || (image && make("img", { className: "image", src: image.src, alt: image.alt })),
      spectrogram && make("img", { className: "spectrogram", src: spectrogram.src, alt: spectrogram.alt }),
      audio && make("audio", { src: audio, controls: true }),
    ].filter(Boolean));
    if (!large.open) large.showModal();
    if (moves && !reduced.matches) moves.play().catch(() => { /* taken away meanwhile */ });
  };
  const step = (by) => {
    const row = all(".card:has(button.enlarge)", opened.parentElement);
    const next = row[row.indexOf(opened) + by];
    if (next) enlarge(next);
  };
  for (const card of all(".card:has(.tile:not(.gone))")) {
    const button = make("button", { type: "button", className: "enlarge", textContent: "⤢" });
    button.setAttribute("aria-label", `Enlarge ${card.dataset.item}`);
    button.addEventListener("click", () => enlarge(card));
    card.append(button);
  }
  large.addEventListener("close", () => { place.replaceChildren(); opened.querySelector(".enlarge").focus(); });
  large.addEventListener("click", (event) => {
    if (event.target === large) large.close();
    const by = event.target.dataset.step;
    if (by) step(Number(by));
  });

  // Search, filter, order.
  const search = document.getElementById("search");
  const label = document.getElementById("label");
  const sort = document.getElementById("sort");
  const fold = (text) => text.normalize("NFKC").toLowerCase();
  const words = new Map(clusters.map((cluster) => [cluster, fold([
    ...all(".shares .name, .number", cluster).map((part) => part.textContent),
    ...all(".card", cluster).flatMap((card) => [card.dataset.item, card.dataset.labels]),
  ].join(" "))]));
  const largestFirst = new Set(["purity", "size"]);
  const value = (cluster, by) => (cluster.dataset[by] === "" ? NaN : Number(cluster.dataset[by]));
  const compare = (by) => (a, b) => {
    const [x, y] = [value(a, by), value(b, by)];
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
    return largestFirst.has(by) ? y - x : x - y;
  };
  const filter = () => {
    const wanted = fold(search.value).split(/\s+/).filter(Boolean);
    for (const cluster of clusters) {
      const named = !label?.value || cluster.dataset.label === label.value;
      cluster.hidden = !(named && wanted.every((word) => words.get(cluster).includes(word)));
    }
    for (const part of all(".part:has(.list)")) {
      part.querySelector(".none").hidden = Boolean(part.querySelector(".cluster:not([hidden])"));
    }
    if (speaker && speaker.closest(".cluster").hidden) hush();
    document.getElementById("tally").textContent = `${shown().length} of ${clusters.length} clusters`;
  };
  const order = () => all(".list").forEach((list) => {
    list.append(...all(".cluster", list).sort(compare("number")).sort(compare("size")).sort(compare(sort.value)));
  });
  search.addEventListener("input", filter);
  label?.addEventListener("change", filter);
  sort.addEventListener("change", order);
  document.getElementById("tools").addEventListener("submit", (event) => event.preventDefault());
  filter();
  // A link to a cluster that the filter hides shows it.
  addEventListener("hashchange", () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target?.hidden) return;
    search.value = "";
    if (label) label.value = "";
    filter();
    target.scrollIntoView();
  });

  // Keyboard.
  const current = () => document.activeElement.closest(".cluster");
  const go = (step) => {
    const list = shown();
    const here = list.indexOf(current());
    const first = list.findIndex((cluster) => cluster.getBoundingClientRect().bottom > 80);
    const next = here < 0 ? list[Math.max(0, first)] : list[Math.min(list.length - 1, Math.max(0, here + step))];
    if (!next) return;
    next.focus({ preventScroll: true });
    next.scrollIntoView({ block: "start" });
  };
  const move = (step) => {
    const row = tiles(current());
    const here = row.indexOf(document.activeElement);
    row[Math.min(row.length - 1, Math.max(0, here + step))]?.focus();
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (large.open) {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (by && !event.target.matches("audio, video")) { event.preventDefault(); step(by); }
      return;
    }
    if (event.target.matches("input, select")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const inside = Boolean(current());
    const acts = {
      j: () => go(1), k: () => go(-1), "/": () => search.focus(),
      ...(inside && { ArrowDown: () => go(1), ArrowUp: () => go(-1), ArrowRight: () => move(1), ArrowLeft: () => move(-1) }),
      ...(inside && { e: () => { const card = event.target.closest(".card") ?? current().querySelector(".card:has(.enlarge)"); if (card?.querySelector(".enlarge")) enlarge(card); } }),
      ...(inside && event.target.matches(".cluster") && { " ": () => { const [first] = tiles(current()); if (first) { first.focus(); play(first); } } }),
    };
    if (!Object.hasOwn(acts, event.key)) return;
    event.preventDefault();
    acts[event.key]();
  });
})();
