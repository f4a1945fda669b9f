// The page: submits a file and shows the result. A new file cancels the previous request.

import * as api from "./api.js";
import { showAnswers } from "./answers.js";
import { listenForFiles, showSamples } from "./input.js";
import { Layers } from "./layers.js";
import { Viewer, hue } from "./viewer.js";
import { boxAt, drawTimeline } from "./timeline.js";

const SAMPLES = 6;
const byId = (id) => document.getElementById(id);
const layers = new Layers(document);
const viewer = new Viewer(byId("viewer"), selectFace);
const state = { model: null, file: null, prediction: null, selected: 0, controller: null, url: null };

async function start() {
  try {
    state.model = await api.model();
  } catch (error) {
    handleError(error);
    return;
  }
  const names = state.model.tasks.map((task) => task.name.replaceAll("_", " "));
  document.title = `${state.model.name} · auxface`;
  byId("about").textContent = `This model predicts ${list(names)}. It returns calibrated probabilities for every face` +
    (state.model.explains ? ", with saliency maps and reconstruction errors." : ".");
  byId("report-link").hidden = !state.model.report;
  await showSamples(SAMPLES, submit).catch(handleError);
}

const list = (names) => names.length < 2 ? names.join() : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;

async function submit(file) {
  state.controller?.abort();
  state.controller = new AbortController();
  const { signal } = state.controller;
  document.querySelectorAll("#samples button").forEach((one) => one.setAttribute("aria-pressed", "false"));
  byId("alert").hidden = true;
  byId("result").hidden = true;
  showStatus("Processing", true);
  try {
    const limit = state.model?.limits.bytes;
    if (limit && file.size > limit) throw new Error(`The file is larger than ${Math.round(limit / 2 ** 20)} MiB.`);
    const [prediction, media] = await Promise.all([api.predict(file, signal), loadMedia(file)]);
    if (signal.aborted) return;
    Object.assign(state, { file, prediction, selected: 0 });
    showResult(media);
  } catch (error) {
    handleError(error);
  }
}

async function loadMedia(file) {
  if (state.url) URL.revokeObjectURL(state.url);
  state.url = URL.createObjectURL(file);
  if (file.type.startsWith("video/")) {
    const video = Object.assign(document.createElement("video"), {
      src: state.url, controls: true, muted: true, loop: true, playsInline: true,
    });
    await new Promise((done) => {
      video.addEventListener("loadedmetadata", done, { once: true });
      video.addEventListener("error", done, { once: true });
    });
    return { element: video, width: video.videoWidth, height: video.videoHeight };
  }
  const image = Object.assign(new Image(), { src: state.url, alt: "The submitted image" });
  await image.decode().catch(() => {});
  return { element: image, width: image.naturalWidth, height: image.naturalHeight };
}

function showResult(media) {
  const { prediction } = state;
  byId("result").hidden = false;
  viewer.show(media.element, media.width || 1, media.height || 1);
  const count = prediction.faces.length;
  showStatus(count ? (count === 1 ? "One face found." : `${count} faces found.`) : "");
  byId("viewer-caption").textContent = prediction.video
    ? `${prediction.video.looked_at} of ${prediction.video.frames} frames scored`
    : `${media.width} × ${media.height} pixels`;
  byId("timeline").hidden = !prediction.video || !count;
  byId("explanation").hidden = true;
  if (!count) {
    showError(`${prediction.reason}. Try an image in which the face is larger and facing the camera.`);
    byId("faces").replaceChildren();
    byId("answers").replaceChildren();
  } else if (prediction.video) {
    animateBoxes(media.element);
    selectFace(-1);
  } else {
    selectFace(0);
  }
  const behavior = matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
  byId("result").scrollIntoView({ behavior, block: "start" });
}

function animateBoxes(video) {
  const moveTo = drawTimeline(byId("chart"), state.prediction.video, video);
  const draw = () => {
    moveTo(video.currentTime);
    const visible = state.prediction.video.tracks
      .map((track, number) => ({ number, box: boxAt(track, video.currentTime), tasks: state.prediction.faces[number].tasks }))
      .filter((face) => face.box);
    viewer.draw(visible, state.selected);
  };
  const tick = () => {
    if (!video.isConnected) return;
    draw();
    requestAnimationFrame(tick);
  };
  tick();
  video.play().catch(() => {});
}

// For a video, -1 selects the video as a whole.
function selectFace(number) {
  state.selected = number;
  const { faces, video } = state.prediction;
  const choices = [...(video ? [-1] : []), ...faces.keys()];
  byId("faces").replaceChildren(
    ...(choices.length > 1 ? choices : []).map((choice) => {
      const button = Object.assign(document.createElement("button"), { type: "button" });
      const dot = document.createElement("i");
      if (choice >= 0) {
        button.style.setProperty("--hue", hue(choice));
        button.append(dot, `Face ${choice + 1}`);
      } else {
        button.style.setProperty("--hue", "var(--accent)");
        button.append("Whole video");
      }
      button.setAttribute("aria-pressed", String(choice === number));
      button.addEventListener("click", () => selectFace(choice));
      return button;
    }),
  );
  const note = video ? `${video.rule} over frames` : "";
  const evidence = Object.fromEntries((state.model?.tasks ?? []).map((task) => [task.name, task.evidence]));
  showAnswers(byId("answers"), number < 0 ? video.tasks : faces[number].tasks, note, evidence);
  byId("meaning").textContent = state.model?.tasks.map((task) => task.meaning).filter(Boolean).join(" ") ?? "";
  if (!video) {
    viewer.draw(faces.map((face, index) => ({ number: index, box: face.box, tasks: face.tasks })), number);
    explainFace(number);
  }
}

async function explainFace(face) {
  if (!state.model?.explains) return;
  const { signal } = state.controller;
  byId("explanation").hidden = false;
  layers.startLoading();
  try {
    const explanation = await api.explain(state.file, face, signal);
    if (face === state.selected && !signal.aborted) layers.show(explanation.layers);
  } catch (error) {
    byId("explanation").hidden = true;
    handleError(error);
  }
}

function showStatus(text, busy = false) {
  byId("status").textContent = text;
  byId("status").classList.toggle("busy", busy);
}

function showError(text) {
  showStatus("");
  byId("alert").textContent = `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
  byId("alert").hidden = false;
}

function handleError(error) {
  if (error.name === "AbortError") return;
  if (error instanceof api.TokenRequired) {
    byId("token-form").hidden = false;
    byId("token").focus();
  }
  showError(error.message);
}

byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  api.storeToken(byId("token").value);
  byId("token-form").hidden = true;
  byId("alert").hidden = true;
  start();
});
listenForFiles(submit, showError);
start();
