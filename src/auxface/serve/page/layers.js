// One face in several views, stacked; the slider fades from each to the next.

const STEPS = 20;

export class Layers {
  constructor(document) {
    this.root = document.getElementById("layers");
    this.slider = document.getElementById("slider");
    this.stops = document.getElementById("stops");
    this.title = document.getElementById("layer-title");
    this.caption = document.getElementById("layer-caption");
    this.count = document.getElementById("layer-count");
    this.layers = [];
    this.slider.addEventListener("input", () => this.move());
    // Arrow keys go from view to view; the pointer may stop between two.
    this.slider.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      this.go(Math.round(this.slider.value / STEPS) + step);
    });
  }

  wait() {
    this.root.classList.add("waiting");
  }

  show(layers) {
    const before = this.layers.length === layers.length ? Number(this.slider.value) : 0;
    this.layers = layers;
    this.root.classList.remove("waiting");
    this.root.replaceChildren(
      ...layers.map((layer) => Object.assign(new Image(), { src: layer.image, alt: "" })),
    );
    this.slider.max = (layers.length - 1) * STEPS;
    this.slider.value = before;
    this.stops.replaceChildren(
      ...layers.map((layer, place) => {
        const button = Object.assign(document.createElement("button"), { type: "button", textContent: layer.title });
        button.addEventListener("click", () => this.go(place));
        return button;
      }),
    );
    this.move();
  }

  go(place) {
    this.slider.value = Math.min(this.layers.length - 1, Math.max(0, place)) * STEPS;
    this.move();
  }

  move() {
    const at = this.slider.value / STEPS;
    const nearest = this.layers[Math.round(at)];
    [...this.root.children].forEach((image, place) => {
      image.style.opacity = place <= at ? 1 : Math.max(0, at - place + 1);
    });
    [...this.stops.children].forEach((button, place) =>
      button.setAttribute("aria-pressed", String(place === Math.round(at))),
    );
    this.title.textContent = nearest.title;
    this.caption.textContent = nearest.caption;
    this.count.textContent = `View ${Math.round(at) + 1} of ${this.layers.length}`;
    this.slider.setAttribute("aria-valuetext", `${nearest.title}. ${nearest.caption}`);
    this.root.setAttribute("aria-label", `${nearest.title} of the face`);
  }
}
