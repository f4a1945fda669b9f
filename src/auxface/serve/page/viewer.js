// The image or video with a box around every face. A box is a button that selects its face.

export const hue = (number) => `var(--face-${number % 5})`;
const percent = (value) => `${Math.round(value * 100)}%`;

export function shortAnswer(tasks) {
  const [first] = Object.values(tasks);
  if (!first) return "";
  if (first.learned === false) return "no answer: not learned";
  if (first.abstained) return "no answer: too uncertain";
  if (first.value !== undefined && first.value !== null) return first.value.toFixed(1);
  if (Array.isArray(first.class)) return first.headline.slice(0, 2).join(", ") || "no certain answer";
  return `${first.class} ${percent(first.probability)}`;
}

export class Viewer {
  constructor(root, select) {
    this.root = root;
    this.select = select;
  }

  show(media, width, height) {
    this.width = width;
    this.height = height;
    this.boxes = document.createElement("div");
    this.boxes.className = "boxes";
    this.root.classList.toggle("tiny", width < 416);
    this.root.replaceChildren(media, this.boxes);
  }

  // faces: [{number, box, tasks}]
  draw(faces, selected) {
    if (faces.length !== this.boxes.childElementCount) {
      this.boxes.replaceChildren(...faces.map(() => this.makeButton()));
    }
    faces.forEach((face, index) => {
      const button = this.boxes.children[index];
      const [x, y, w, h] = face.box;
      const left = Math.max(0, x), top = Math.max(0, y);
      const right = Math.min(this.width, x + w), bottom = Math.min(this.height, y + h);
      button.style.left = `${(100 * left) / this.width}%`;
      button.style.top = `${(100 * top) / this.height}%`;
      button.style.width = `${(100 * (right - left)) / this.width}%`;
      button.style.height = `${(100 * (bottom - top)) / this.height}%`;
      button.style.setProperty("--hue", hue(face.number));
      button.classList.toggle("low", top < 0.08 * this.height);
      button.setAttribute("aria-pressed", String(face.number === selected));
      button.setAttribute("aria-label", `Face ${face.number + 1}: ${shortAnswer(face.tasks)}`);
      button.dataset.face = face.number;
      button.firstChild.textContent = shortAnswer(face.tasks);
    });
  }

  makeButton() {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "box";
    button.append(document.createElement("span"));
    button.addEventListener("click", () => this.select(Number(button.dataset.face)));
    return button;
  }
}
