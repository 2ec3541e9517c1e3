// Marks on an image, in shares of its width and height: drawn, and as a mask of 64 x 64 cells.

const SIDE = 64;

// Radius of the brush, as a share of the shorter side of the image.
export const brushRadius = 0.03;

// Returns the box between two corners.
export function box([x1, y1], [x2, y2]) {
  const [x, y] = [Math.min(x1, x2), Math.min(y1, y2)];
  return { kind: "box", x, y, width: Math.abs(x2 - x1), height: Math.abs(y2 - y1) };
}

// Draws marks with a dark and a light line, which are seen on any skin.
export function paint(canvas, marks) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const scale = Math.min(devicePixelRatio || 1, 4096 / Math.max(1, width, height));
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  context.lineCap = context.lineJoin = "round";
  for (const mark of marks) {
    if (mark.kind === "box") paintBox(context, mark, width, height);
    else paintStroke(context, mark, width, height);
  }
}

// Returns the cells that marks cover, row by row: those whose centre lies in one, and at least the
// cell of a mark's own centre. `aspect` is width over height of the image.
export function rasterised(marks, aspect) {
  const cells = new Uint8Array(SIDE * SIDE);
  for (const mark of marks) {
    for (let row = 0; row < SIDE; row += 1) {
      for (let column = 0; column < SIDE; column += 1) {
        const [x, y] = [(column + 0.5) / SIDE, (row + 0.5) / SIDE];
        if (covers(mark, x, y, aspect)) cells[row * SIDE + column] = 1;
      }
    }
    const [x, y] = mark.kind === "box" ? [mark.x + mark.width / 2, mark.y + mark.height / 2] : mark.points[0];
    const cell = (share) => Math.min(SIDE - 1, Math.floor(share * SIDE));
    cells[cell(y) * SIDE + cell(x)] = 1;
  }
  return cells;
}

// Returns the bits of cells in base64, the first cell the highest bit, as numpy.packbits does.
export function encoded(cells) {
  let bytes = "";
  for (let first = 0; first < cells.length; first += 8) {
    let byte = 0;
    for (let bit = 0; bit < 8; bit += 1) byte = 2 * byte + cells[first + bit];
    bytes += String.fromCharCode(byte);
  }
  return btoa(bytes);
}

function covers(mark, x, y, aspect) {
  if (mark.kind === "box") {
    return x >= mark.x && x <= mark.x + mark.width && y >= mark.y && y <= mark.y + mark.height;
  }
  // In units of the shorter side.
  const [across, down] = aspect > 1 ? [aspect, 1] : [1, 1 / aspect];
  const at = ([u, v]) => [u * across, v * down];
  const [px, py] = at([x, y]);
  return mark.points.some((point, place) => {
    const [ax, ay] = at(mark.points[Math.max(0, place - 1)]);
    const [bx, by] = at(point);
    const length = (bx - ax) ** 2 + (by - ay) ** 2;
    const along = length ? ((px - ax) * (bx - ax) + (py - ay) * (by - ay)) / length : 0;
    const t = Math.min(1, Math.max(0, along));
    return Math.hypot(px - ax - t * (bx - ax), py - ay - t * (by - ay)) <= mark.radius;
  });
}

function paintBox(context, mark, width, height) {
  const area = [mark.x * width, mark.y * height, mark.width * width, mark.height * height];
  context.fillStyle = "rgb(255 255 255 / 0.15)";
  context.fillRect(...area);
  for (const [colour, line] of [["#000", 5], ["#fff", 2]]) {
    context.strokeStyle = colour;
    context.lineWidth = line;
    context.strokeRect(...area);
  }
}

function paintStroke(context, mark, width, height) {
  const radius = mark.radius * Math.min(width, height);
  const path = new Path2D();
  mark.points.forEach(([x, y], place) => {
    if (place) path.lineTo(x * width, y * height);
    else path.moveTo(x * width, y * height);
  });
  if (mark.points.length === 1) path.lineTo(mark.points[0][0] * width + 0.01, mark.points[0][1] * height);
  for (const [colour, line] of [["rgb(0 0 0 / 0.55)", 2 * radius + 3], ["rgb(255 255 255 / 0.6)", 2 * radius]]) {
    context.strokeStyle = colour;
    context.lineWidth = line;
    context.stroke(path);
  }
}
