// Settings of the study, the same for every case.

const page = JSON.parse(document.body.dataset.page);
export const { study, base } = page;
