// Scores over time: one line per face, of the class that the first task's verdict speaks for. A click seeks.

import { hue } from "./stage.js";

const HEIGHT = 190, LEFT = 34, RIGHT = 12, TOP = 10, BOTTOM = 26;
const SPACE = "http://www.w3.org/2000/svg";

function draw(tag, attributes, text) {
  const made = document.createElementNS(SPACE, tag);
  Object.entries(attributes).forEach(([name, value]) => made.setAttribute(name, value));
  if (text !== undefined) made.textContent = text;
  return made;
}

// The box of a track at a moment, between the nearest two sights; null where the face is not seen.
export function boxAt(track, seconds) {
  const times = track.seconds;
  let after = times.findIndex((time) => time >= seconds);
  if (after === -1) after = times.length;
  if (after === 0) return times[0] - seconds < 0.3 ? track.boxes[0] : null;
  if (after === times.length) return seconds - times[after - 1] < 0.3 ? track.boxes[after - 1] : null;
  const [start, end] = [times[after - 1], times[after]];
  if (end - start > 1.5) return null;
  const share = (seconds - start) / (end - start || 1);
  return track.boxes[after - 1].map((value, place) => (1 - share) * value + share * track.boxes[after][place]);
}

export function timeline(root, video, media) {
  const task = Object.keys(video.tasks)[0];
  const verdict = video.tasks[task];
  const names = Object.keys(video.tracks[0]?.scores[task] ?? {});
  const shown = names.includes(verdict.class) ? verdict.class : names[0];
  const length = Math.max(video.seconds, 0.1);
  const WIDTH = Math.max(280, root.clientWidth || 720);
  const x = (seconds) => LEFT + (seconds / length) * (WIDTH - LEFT - RIGHT);
  const y = (score) => TOP + (1 - score) * (HEIGHT - TOP - BOTTOM);
  const summary = `Score of ${shown} over ${length.toFixed(1)} seconds; whole video: ${verdict.class ?? "no answer"}`;
  const svg = draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": summary });
  for (const score of [0, 0.5, 1]) {
    svg.append(draw("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(score), y2: y(score) }));
    svg.append(draw("text", { x: LEFT - 6, y: y(score) + 4, "text-anchor": "end" }, `${100 * score}`));
  }
  if (typeof verdict.threshold === "number") {
    svg.append(draw("line", { class: "cut", x1: LEFT, x2: WIDTH - RIGHT, y1: y(verdict.threshold), y2: y(verdict.threshold) }));
  }
  video.tracks.forEach((track, number) => {
    let path = "";
    track.seconds.forEach((seconds, place) => {
      const gap = place === 0 || seconds - track.seconds[place - 1] > 1.5;
      path += `${gap ? "M" : "L"}${x(seconds).toFixed(1)} ${y(track.scores[task][shown][place]).toFixed(1)}`;
    });
    const line = draw("path", { d: path });
    line.style.stroke = hue(number);
    svg.append(line);
  });
  const head = draw("line", { class: "head", x1: LEFT, x2: LEFT, y1: TOP, y2: HEIGHT - BOTTOM });
  svg.append(head, draw("text", { x: LEFT, y: HEIGHT - 6 }, `${shown}, per cent`));
  svg.append(draw("text", { x: WIDTH - RIGHT, y: HEIGHT - 6, "text-anchor": "end" }, `${length.toFixed(1)} s`));
  svg.addEventListener("click", (event) => {
    const place = ((event.clientX - svg.getBoundingClientRect().left) / svg.clientWidth) * WIDTH;
    media.currentTime = Math.min(length, Math.max(0, ((place - LEFT) / (WIDTH - LEFT - RIGHT)) * length));
  });
  root.replaceChildren(svg);
  return (seconds) => {
    head.setAttribute("x1", x(seconds));
    head.setAttribute("x2", x(seconds));
  };
}
