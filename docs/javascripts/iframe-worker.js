// Search in pages that are opened from a folder: a browser starts no worker from a file, so the
// worker's script runs in a hidden frame. Its name keeps Material from loading such a script from
// the network.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      document.body.append(frame)
      this.inner = frame.contentWindow
      this.inner.postMessage = data => this.dispatchEvent(new MessageEvent("message", { data }))
      this.ready = new Promise(done => {
        const script = frame.contentDocument.createElement("script")
        script.src = url
        script.onload = done
        frame.contentDocument.body.append(script)
      })
    }

    postMessage(data) {
      const message = { data }
      this.ready.then(() => this.inner.dispatchEvent(new MessageEvent("message", message)))
    }
  }
}
