// All ways to provide an image: a file, drag and drop, paste, a sample, the camera.

import * as api from "./api.js";

const byId = (id) => document.getElementById(id);

export function listenForFiles(submit, showError) {
  const input = byId("file");
  byId("choose").addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    if (input.files[0]) submit(input.files[0]);
    input.value = "";
  });
  const drop = byId("drop");
  let depth = 0;
  addEventListener("dragenter", () => drop.classList.toggle("dragging", ++depth > 0));
  addEventListener("dragleave", () => drop.classList.toggle("dragging", --depth > 0));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    drop.classList.remove("dragging");
    const [file] = event.dataTransfer.files;
    if (file) submit(file);
    else showError("The dropped item is not a file. Save the image first, or paste it.");
  });
  addEventListener("paste", (event) => {
    const item = [...(event.clipboardData?.items ?? [])].find((one) => one.kind === "file");
    if (item) submit(item.getAsFile());
  });
  listenForCamera(submit, showError);
}

export async function showSamples(count, submit) {
  const list = byId("samples");
  const buttons = Array.from({ length: count }, (_, number) => {
    const button = Object.assign(document.createElement("button"), { type: "button", disabled: true });
    const image = Object.assign(new Image(), { alt: `Synthetic face ${number + 1}` });
    button.append(image);
    button.setAttribute("aria-pressed", "false");
    const item = document.createElement("li");
    item.append(button);
    list.append(item);
    return button;
  });
  for (const [number, button] of buttons.entries()) {
    const blob = await api.sample(number);
    button.firstChild.src = URL.createObjectURL(blob);
    button.disabled = false;
    button.addEventListener("click", () => {
      submit(blob);
      button.setAttribute("aria-pressed", "true");
    });
  }
}

function listenForCamera(submit, showError) {
  const dialog = byId("camera-dialog");
  const video = byId("camera-video");
  const shutter = byId("camera-shutter");
  const stop = () => {
    video.srcObject?.getTracks().forEach((track) => track.stop());
    video.srcObject = null;
  };
  dialog.addEventListener("close", stop);
  byId("camera-close").addEventListener("click", () => dialog.close());
  byId("camera").addEventListener("click", async () => {
    shutter.disabled = true;
    try {
      video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user" } });
      dialog.showModal();
    } catch {
      showError("The camera is not available: this device has no camera, or the page is not allowed to use it.");
    }
  });
  // Before its first frame, the video has no size.
  video.addEventListener("loadeddata", () => { shutter.disabled = false; });
  shutter.addEventListener("click", () => {
    const canvas = Object.assign(document.createElement("canvas"), { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    dialog.close();
    canvas.toBlob((blob) => submit(blob), "image/jpeg", 0.95);
  });
}
