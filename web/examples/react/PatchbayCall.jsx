import { usePatchbayCall } from "./usePatchbayCall.js";

/** A call with a button to listen and one to hold for talking. */
export function PatchbayCall({ url, token, call: id }) {
  const { state, listening, talking, notice, listen, stop, press, release, call } = usePatchbayCall({ url, token, call: id });
  const onKey = (event, act) => {
    if (event.key !== " ") return;
    event.preventDefault();
    if (!event.repeat) act();
  };
  return (
    <section aria-label={`Call ${id}`}>
      <button aria-pressed={listening} onClick={() => (listening ? stop() : listen({ layout: "split" }))}>
        {listening ? (state === "live" ? "Listening" : "Waiting for the call") : "Listen"}
      </button>
      <button
        aria-pressed={talking}
        onPointerDown={press}
        onPointerUp={release}
        onPointerCancel={release}
        onKeyDown={(event) => onKey(event, press)}
        onKeyUp={(event) => onKey(event, release)}
      >
        Hold to talk
      </button>
      <label>
        Caller
        <input
          type="range" min="0" max="2" step="0.05" defaultValue="1"
          onChange={(event) => call.current.setVolume("inbound", Number(event.target.value))}
        />
      </label>
      <p role="status">{notice?.words}</p>
    </section>
  );
}
