// The page: a file comes in, its answers go out. One request at a time; a new file ends the one before.

import * as api from "./api.js";
import { answers } from "./answers.js";
import { listen, samples } from "./intake.js";
import { Layers } from "./layers.js";
import { Stage, brief, hue } from "./stage.js";
import { boxAt, timeline } from "./timeline.js";

const find = (id) => document.getElementById(id);
const layers = new Layers(document);
const stage = new Stage(find("stage"), choose);
const now = { model: null, file: null, found: null, chosen: 0, stop: null, address: null };

function say(text, busy = false) {
  find("status").textContent = text;
  find("status").classList.toggle("busy", busy);
}

function complain(text) {
  say("");
  find("alert").textContent = `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
  find("alert").hidden = false;
}

function fail(error) {
  if (error.name === "AbortError") return;
  if (error instanceof api.NeedsToken) {
    find("token-form").hidden = false;
    find("token").focus();
  }
  complain(error.message);
}

async function media(file) {
  if (now.address) URL.revokeObjectURL(now.address);
  now.address = URL.createObjectURL(file);
  if (file.type.startsWith("video/")) {
    const video = Object.assign(document.createElement("video"), {
      src: now.address, controls: true, muted: true, loop: true, playsInline: true,
    });
    await new Promise((done) => {
      video.addEventListener("loadedmetadata", done, { once: true });
      video.addEventListener("error", done, { once: true });
    });
    return { element: video, width: video.videoWidth, height: video.videoHeight };
  }
  const image = Object.assign(new Image(), { src: now.address, alt: "The image that was answered" });
  await image.decode().catch(() => {});
  return { element: image, width: image.naturalWidth, height: image.naturalHeight };
}

async function take(file) {
  now.stop?.abort();
  now.stop = new AbortController();
  const { signal } = now.stop;
  document.querySelectorAll("#samples button").forEach((one) => one.setAttribute("aria-pressed", "false"));
  find("alert").hidden = true;
  find("result").hidden = true;
  say("Looking at it", true);
  try {
    const limit = now.model?.limits.bytes;
    if (limit && file.size > limit) throw new Error(`The file is larger than ${Math.round(limit / 2 ** 20)} MiB.`);
    const [found, shown] = await Promise.all([api.predict(file, signal), media(file)]);
    if (signal.aborted) return;
    Object.assign(now, { file, found, chosen: 0 });
    present(shown);
  } catch (error) {
    fail(error);
  }
}

function present(shown) {
  const { found } = now;
  find("result").hidden = false;
  stage.show(shown.element, shown.width || 1, shown.height || 1);
  const count = found.faces.length;
  say(count ? (count === 1 ? "One face." : `${count} faces.`) : "");
  find("stage-caption").textContent = found.video
    ? `${found.video.looked_at} of ${found.video.frames} frames looked at`
    : `${shown.width} × ${shown.height} pixels`;
  find("timeline").hidden = !found.video || !count;
  find("inside").hidden = true;
  if (!count) {
    complain(`${found.reason}. Try an image where a face is larger and turned to the camera.`);
    find("faces").replaceChildren();
    find("answers").replaceChildren();
  } else if (found.video) {
    follow(shown.element);
    choose(-1);
  } else {
    choose(0);
  }
  find("result").scrollIntoView({ behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth", block: "start" });
}

function follow(video) {
  const move = timeline(find("chart"), now.found.video, video);
  const draw = () => {
    move(video.currentTime);
    const seen = now.found.video.tracks
      .map((track, number) => ({ number, box: boxAt(track, video.currentTime), tasks: now.found.faces[number].tasks }))
      .filter((face) => face.box);
    stage.draw(seen, now.chosen);
  };
  const tick = () => {
    if (!video.isConnected) return;
    draw();
    requestAnimationFrame(tick);
  };
  tick();
  video.play().catch(() => {});
}

// Of a video, -1 is the video as a whole.
function choose(number) {
  now.chosen = number;
  const { faces, video } = now.found;
  const whole = video ? [-1] : [];
  const choices = [...whole, ...faces.keys()];
  find("faces").replaceChildren(
    ...(choices.length > 1 ? choices : []).map((one) => {
      const button = Object.assign(document.createElement("button"), { type: "button" });
      const dot = document.createElement("i");
      if (one >= 0) {
        button.style.setProperty("--hue", hue(one));
        button.append(dot, `Face ${one + 1}`);
      } else {
        button.style.setProperty("--hue", "var(--accent)");
        button.append("Whole video");
      }
      button.setAttribute("aria-pressed", String(one === number));
      button.addEventListener("click", () => choose(one));
      return button;
    }),
  );
  const note = video ? `${video.rule} over frames` : "";
  answers(find("answers"), number < 0 ? video.tasks : faces[number].tasks, note);
  find("meaning").textContent = now.model?.tasks.map((task) => task.meaning).filter(Boolean).join(" ") ?? "";
  if (!video) {
    stage.draw(faces.map((face, place) => ({ number: place, box: face.box, tasks: face.tasks })), number);
    look(number);
  }
}

async function look(face) {
  if (!now.model?.explains) return;
  const { signal } = now.stop;
  find("inside").hidden = false;
  layers.wait();
  try {
    const made = await api.explain(now.file, face, signal);
    if (face === now.chosen && !signal.aborted) layers.show(made.layers);
  } catch (error) {
    find("inside").hidden = true;
    fail(error);
  }
}

const listed = (names) => names.length < 2 ? names.join() : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;

async function start() {
  try {
    now.model = await api.model();
  } catch (error) {
    fail(error);
    return;
  }
  const names = now.model.tasks.map((task) => task.name.replaceAll("_", " "));
  document.title = `${now.model.name} · auxface`;
  find("about").textContent = `This model answers ${listed(names)}. It gives calibrated probabilities, shows where it looked` +
    (now.model.explains ? ", and what it could not rebuild." : ".");
  find("report-link").hidden = !now.model.report;
  await samples(6, take).catch(fail);
}

find("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  api.keepToken(find("token").value);
  find("token-form").hidden = true;
  find("alert").hidden = true;
  start();
});
listen(take, complain);
start();
