// Several views of one face, stacked; the slider fades from one to the next.

const STEPS = 20;

export class Layers {
  constructor(document) {
    this.root = document.getElementById("layers");
    this.slider = document.getElementById("slider");
    this.views = document.getElementById("views");
    this.title = document.getElementById("layer-title");
    this.caption = document.getElementById("layer-caption");
    this.count = document.getElementById("layer-count");
    this.layers = [];
    this.slider.addEventListener("input", () => this.update());
    // Arrow keys move by one view; the pointer may stop between two views.
    this.slider.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      this.showView(Math.round(this.slider.value / STEPS) + step);
    });
  }

  startLoading() {
    this.root.classList.add("loading");
  }

  show(layers) {
    const before = this.layers.length === layers.length ? Number(this.slider.value) : 0;
    this.layers = layers;
    this.root.classList.remove("loading");
    this.root.replaceChildren(
      ...layers.map((layer) => Object.assign(new Image(), { src: layer.image, alt: "" })),
    );
    this.slider.max = (layers.length - 1) * STEPS;
    this.slider.value = before;
    this.views.replaceChildren(
      ...layers.map((layer, index) => {
        const button = Object.assign(document.createElement("button"), { type: "button", textContent: layer.title });
        button.addEventListener("click", () => this.showView(index));
        return button;
      }),
    );
    this.update();
  }

  showView(index) {
    this.slider.value = Math.min(this.layers.length - 1, Math.max(0, index)) * STEPS;
    this.update();
  }

  update() {
    const position = this.slider.value / STEPS;
    const nearest = this.layers[Math.round(position)];
    [...this.root.children].forEach((image, index) => {
      image.style.opacity = index <= position ? 1 : Math.max(0, position - index + 1);
    });
    [...this.views.children].forEach((button, index) =>
      button.setAttribute("aria-pressed", String(index === Math.round(position))),
    );
    this.title.textContent = nearest.title;
    this.caption.textContent = nearest.caption;
    this.count.textContent = `View ${Math.round(position) + 1} of ${this.layers.length}`;
    this.slider.setAttribute("aria-valuetext", `${nearest.title}. ${nearest.caption}`);
    this.root.setAttribute("aria-label", nearest.title);
  }
}
