/** The machine's speakers and microphones. */

/**
 * @typedef {object} Device
 * @property {string} id "" for the system's default
 * @property {string} name
 */

/**
 * Without a microphone having been allowed, browsers give no names, and some no list.
 * @returns {Promise<{speakers: Device[], microphones: Device[]}>}
 */
export async function listDevices() {
  const devices = (await globalThis.navigator?.mediaDevices?.enumerateDevices?.()) ?? [];
  return { speakers: ofKind(devices, "audiooutput", "Speaker"), microphones: ofKind(devices, "audioinput", "Microphone") };
}

/** @param {MediaDeviceInfo[]} devices @param {MediaDeviceKind} kind @param {string} word @returns {Device[]} */
function ofKind(devices, kind, word) {
  return devices
    .filter((device) => device.kind === kind && device.deviceId)
    .map(({ deviceId, label }, index) => ({
      id: deviceId === "default" ? "" : deviceId,
      name: label || `${word} ${index + 1}`,
    }));
}
