// Scores over time: one line per face, for the class that the first task predicts for the video. A click seeks.

import { hue, shortAnswer } from "./viewer.js";

const HEIGHT = 190, LEFT = 34, RIGHT = 12, TOP = 10, BOTTOM = 26;
const NAMESPACE = "http://www.w3.org/2000/svg";

function svgElement(tag, attributes, text) {
  const made = document.createElementNS(NAMESPACE, tag);
  Object.entries(attributes).forEach(([name, value]) => made.setAttribute(name, value));
  if (text !== undefined) made.textContent = text;
  return made;
}

// The box of a track at a given time, interpolated between the nearest two detections; null where the face is not detected.
export function boxAt(track, seconds) {
  const times = track.seconds;
  let after = times.findIndex((time) => time >= seconds);
  if (after === -1) after = times.length;
  if (after === 0) return times[0] - seconds < 0.3 ? track.boxes[0] : null;
  if (after === times.length) return seconds - times[after - 1] < 0.3 ? track.boxes[after - 1] : null;
  const [start, end] = [times[after - 1], times[after]];
  if (end - start > 1.5) return null;
  const weight = (seconds - start) / (end - start || 1);
  return track.boxes[after - 1].map((value, index) => (1 - weight) * value + weight * track.boxes[after][index]);
}

export function drawTimeline(root, video, media) {
  const task = Object.keys(video.tasks)[0];
  const answer = video.tasks[task];
  const names = Object.keys(video.tracks[0]?.scores[task] ?? {});
  const shown = names.includes(answer.class) ? answer.class : names[0];
  const length = Math.max(video.seconds, 0.1);
  const WIDTH = Math.max(280, root.clientWidth || 720);
  const x = (seconds) => LEFT + (seconds / length) * (WIDTH - LEFT - RIGHT);
  const y = (score) => TOP + (1 - score) * (HEIGHT - TOP - BOTTOM);
  const summary = `Score of ${shown} over ${length.toFixed(1)} seconds; whole video: ${shortAnswer(video.tasks)}`;
  const svg = svgElement("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": summary });
  for (const score of [0, 0.5, 1]) {
    svg.append(svgElement("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(score), y2: y(score) }));
    svg.append(svgElement("text", { x: LEFT - 6, y: y(score) + 4, "text-anchor": "end" }, `${100 * score}`));
  }
  if (typeof answer.threshold === "number") {
    svg.append(svgElement("line", { class: "threshold", x1: LEFT, x2: WIDTH - RIGHT, y1: y(answer.threshold), y2: y(answer.threshold) }));
  }
  video.tracks.forEach((track, number) => {
    let path = "";
    track.seconds.forEach((seconds, index) => {
      const gap = index === 0 || seconds - track.seconds[index - 1] > 1.5;
      path += `${gap ? "M" : "L"}${x(seconds).toFixed(1)} ${y(track.scores[task][shown][index]).toFixed(1)}`;
    });
    const line = svgElement("path", { d: path });
    line.style.stroke = hue(number);
    svg.append(line);
  });
  const position = svgElement("line", { class: "position", x1: LEFT, x2: LEFT, y1: TOP, y2: HEIGHT - BOTTOM });
  svg.append(position, svgElement("text", { x: LEFT, y: HEIGHT - 6 }, `Score of ${shown} (%)`));
  svg.append(svgElement("text", { x: WIDTH - RIGHT, y: HEIGHT - 6, "text-anchor": "end" }, `${length.toFixed(1)} s`));
  svg.addEventListener("click", (event) => {
    const offset = ((event.clientX - svg.getBoundingClientRect().left) / svg.clientWidth) * WIDTH;
    media.currentTime = Math.min(length, Math.max(0, ((offset - LEFT) / (WIDTH - LEFT - RIGHT)) * length));
  });
  root.replaceChildren(svg);
  return (seconds) => {
    position.setAttribute("x1", x(seconds));
    position.setAttribute("x2", x(seconds));
  };
}
