// Every way an image comes in: a file, a drop, a paste, a sample, the camera.

import * as api from "./api.js";

const find = (id) => document.getElementById(id);

export function listen(take, complain) {
  const input = find("file");
  find("choose").addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    if (input.files[0]) take(input.files[0]);
    input.value = "";
  });
  const drop = find("drop");
  let depth = 0;
  addEventListener("dragenter", () => drop.classList.toggle("over-it", ++depth > 0));
  addEventListener("dragleave", () => drop.classList.toggle("over-it", --depth > 0));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    drop.classList.remove("over-it");
    const [file] = event.dataTransfer.files;
    if (file) take(file);
    else complain("That was not a file. Save the image first, or paste it.");
  });
  addEventListener("paste", (event) => {
    const item = [...(event.clipboardData?.items ?? [])].find((one) => one.kind === "file");
    if (item) take(item.getAsFile());
  });
  camera(take, complain);
}

export async function samples(count, take) {
  const list = find("samples");
  const buttons = Array.from({ length: count }, (_, number) => {
    const button = Object.assign(document.createElement("button"), { type: "button", disabled: true });
    const image = Object.assign(new Image(), { alt: `Drawn face ${number + 1}` });
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
      take(blob);
      button.setAttribute("aria-pressed", "true");
    });
  }
}

function camera(take, complain) {
  const dialog = find("camera-dialog");
  const video = find("camera-video");
  const shutter = find("camera-take");
  const stop = () => {
    video.srcObject?.getTracks().forEach((track) => track.stop());
    video.srcObject = null;
  };
  dialog.addEventListener("close", stop);
  find("camera-close").addEventListener("click", () => dialog.close());
  find("camera").addEventListener("click", async () => {
    shutter.disabled = true;
    try {
      video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user" } });
      dialog.showModal();
    } catch {
      complain("The camera cannot be used: there is none, or this page may not.");
    }
  });
  // Before its first frame a camera has no size.
  video.addEventListener("loadeddata", () => { shutter.disabled = false; });
  shutter.addEventListener("click", () => {
    const canvas = Object.assign(document.createElement("canvas"), { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    dialog.close();
    canvas.toBlob((blob) => take(blob), "image/jpeg", 0.95);
  });
}
