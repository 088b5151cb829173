// The bundled Swagger UI reads OpenAPI up to 3.0 by name; nothing that we describe needs 3.1.
fetch("/openapi.json")
  .then((answer) => answer.json())
  .then((spec) => SwaggerUIBundle({ spec: { ...spec, openapi: "3.0.3" }, dom_id: "#docs", deepLinking: true, validatorUrl: null }));
